"""Comparison of the lecture's protocols: the same work over each of them, measured. Not a service."""
