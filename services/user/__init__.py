"""The lecture's UserService."""
