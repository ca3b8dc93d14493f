"""Services, callers and a laptop's `up` on a mesh of real processes."""
