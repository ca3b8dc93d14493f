"""The lecture's protocols side by side: the same work over each of them, measured. No service of the system."""
