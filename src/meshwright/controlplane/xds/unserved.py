"""What is asked of the ADS server that it does not serve, and how it says so.

A type of resource that is not ours is answered with an empty response: an Envoy that also wants secrets or runtime
layers over the same stream goes on at once instead of waiting for a timeout, and nothing else of the stream is lost.
The other variants of the transport protocol (incremental, one service per type, version 2, load reports) end with a
status that says what to use instead. gRPC itself would answer "Method not found!".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from meshwright.controlplane.xds.codec import MAX_NAME_LENGTH
from meshwright.errors import ValidationError, Violation
from meshwright.messages.xds import DiscoveryResponse

if TYPE_CHECKING:
    from meshwright.controlplane.xds.codec import UnknownTypeError

MAX_TYPES = 32
"""Types that are not ours on one stream: beyond this it is a mistake or an attack."""
_LONGEST_TEXT = 300
"""Characters of a client's text in a line of the log."""


class UnservedTypes:
    """The types that one stream asked for and that are not served."""

    __slots__ = ("_asked", "_count")

    def __init__(self) -> None:
        self._asked: dict[str, tuple[frozenset[str], str]] = {}
        self._count = 0

    def answer(self, request: UnknownTypeError) -> bytes | None:
        """An empty response, or None where the request only acknowledges one. Raises `ValidationError` for too many."""
        known = self._asked.get(request.type)
        if known is not None and request.nonce and (request.nonce != known[1] or request.names == known[0]):
            return None
        if known is None and len(self._asked) >= MAX_TYPES:
            raise ValidationError(
                "the discovery request", [Violation("type_url", f"{request.type} is one type too many")]
            )
        self._count += 1
        nonce = f"unserved-{self._count}"
        self._asked[request.type] = (request.names, nonce)
        response = DiscoveryResponse(version_info="unserved", type_url=request.type, nonce=nonce)
        return bytes(response.SerializeToString())


class OtherVariants(grpc.GenericRpcHandler):
    """Ends every call to an xDS service that is not state of the world over one stream, with the reason."""

    def __init__(self) -> None:
        self._handler: Any = grpc.stream_stream_rpc_method_handler(self._refuse)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The refusal, for Envoy's services; None, which means "not found", for others."""
        method = str(handler_call_details.method)
        return self._handler if method.startswith(("/envoy.service.", "/envoy.api.v2.")) else None

    async def _refuse(self, _requests: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "this control plane speaks xDS version 3 as state of the world only: use StreamAggregatedResources of "
            "envoy.service.discovery.v3.AggregatedDiscoveryService (in an Envoy's bootstrap: ads_config with "
            "api_type: GRPC, not DELTA_GRPC, and transport_api_version: V3)",
        )


def cut(text: str, longest: int = _LONGEST_TEXT) -> str:
    """A client's text for a line of the log or a status: one line, of bounded length."""
    line = " ".join(text[: MAX_NAME_LENGTH * 4].split())
    return line if len(line) <= longest else f"{line[:longest]}... ({len(text)} characters)"
