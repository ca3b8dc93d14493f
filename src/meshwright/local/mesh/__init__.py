"""Access to a running mesh for the command line: its endpoints, calls by reflection, and fault policies."""
