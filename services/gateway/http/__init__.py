"""HTTP: server, timeouts, limits, API versions, problem documents and middleware."""
