"""Meshwright: a service mesh without sidecars for Python gRPC services."""
