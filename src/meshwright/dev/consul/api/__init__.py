"""Consul's HTTP API: routes, request bodies and answers."""
