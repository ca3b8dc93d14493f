"""kopf's connection to the API server: with a User-Agent, and with the Lease's gate for its writes.

kopf patches finalizers and its own annotations with its own requests. They have no field manager; the API server uses
the beginning of the `User-Agent` as one (kubernetes.io/docs/reference/using-api/server-side-apply, "managers").
"""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import kopf

from meshwright_operator.kubernetes.cluster import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

_NAMESPACE = re.compile(r"/namespaces/([^/]+)/")


def login(acting: Callable[[str], AbstractAsyncContextManager[None]]) -> Callable[..., Any]:
    """A login handler: the pod's service account where there is one, else the kubeconfig, as `kubectl` does."""

    async def gate(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        place = _NAMESPACE.search(request.url.path)
        if request.method != "PATCH" or place is None:  # Events (POST) may be written at any time, also about a refusal
            return await handler(request)
        async with acting(place.group(1)):
            return await handler(request)

    async def session(**given: Any) -> kopf.AiohttpSession | None:
        found = kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)
        if found is None:
            return None
        version = importlib.metadata.version("kopf")
        return kopf.AiohttpSession(
            server=found.server,
            default_namespace=found.default_namespace,
            priority=found.priority,
            expiration=found.expiration,
            aiohttp_session=aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
                headers={**found.as_http_headers(), "User-Agent": f"{FIELD_MANAGER}/kopf-{version}"},
                proxy=found.proxy_url,
                trust_env=found.trust_env,
                middlewares=(gate,),
            ),
        )

    return session
