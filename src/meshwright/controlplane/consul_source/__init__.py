"""Consul as the source: what is watched and read, and the state of the mesh that comes of it."""
