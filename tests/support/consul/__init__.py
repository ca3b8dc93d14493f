"""Consul for tests: real or the dev Consul, its credentials, a proxy before it, the chains that it compiles."""
