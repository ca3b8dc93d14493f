"""Health checks that really run: gRPC, HTTP, TCP and TTL."""
