"""Consul for tests: real or the dev registry, its credentials, a proxy before it, the chains that it compiles."""
