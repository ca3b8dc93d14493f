"""The userview service."""
