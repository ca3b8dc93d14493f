"""gRPC's admin services (gRFC A38): CSDS, which shows what xDS configuration this process works with, and channelz.

CSDS hands out gRPC's own dump, which is an encoded `ClientStatusResponse` already. channelz needs its messages: it is
served where `grpcio-channelz` is installed, as it is with `meshwright[standard]`.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc
from grpc._cython import cygrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CSDS = "envoy.service.status.v3.ClientStatusDiscoveryService"


def add_admin_services(server: grpc.aio.Server) -> None:
    """Serve them on a server that has not started."""
    handlers: dict[str, Any] = {
        "FetchClientStatus": grpc.unary_unary_rpc_method_handler(_fetch),
        "StreamClientStatus": grpc.stream_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(CSDS, handlers)])
    with contextlib.suppress(ModuleNotFoundError):
        import_module("grpc_channelz.v1.channelz").add_channelz_servicer(server)


async def _fetch(_request: bytes, _context: Any) -> bytes:
    """Everything: gRPC's own implementations take no notice of what a `ClientStatusRequest` names, either."""
    return bytes(cygrpc.dump_xds_configs())


async def _stream(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield bytes(cygrpc.dump_xds_configs())
