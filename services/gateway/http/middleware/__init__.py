"""ASGI middleware: limits, response headers, idempotency, conditional requests, versioning, errors."""
