"""Which right a request that Consul refused would have needed, for its error message. Pure.

Consul says "Permission denied" and no more. docs/how-to/consul.md lists the rules that each part needs.
"""

from __future__ import annotations

_RIGHTS = (
    ("/v1/agent/service/", "service"),
    ("/v1/agent/", "agent"),
    ("/v1/catalog/", "service"),
    ("/v1/config/proxy-defaults", "operator"),
    ("/v1/config", "service"),
    ("/v1/discovery-chain/", "service"),
    ("/v1/health/", "service"),
    ("/v1/kv/", "key"),
)


def needed(request: str) -> str:
    """The right behind a request line, as in `service:write`; empty where we do not know."""
    method, _, path = request.partition(" ")
    access = "read" if method == "GET" else "write"
    return next((f"{kind}:{access}" for prefix, kind in _RIGHTS if path.startswith(prefix)), "")
