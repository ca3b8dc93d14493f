"""Calling services from code without asyncio: scripts, notebooks, Flask, Django.

`channel("user")` is `meshwright.channel` with gRPC's synchronous API: the same stubs, the same discovery, traces,
metrics, deadlines and authorization. `WsgiMiddleware` gives the calls that a web request makes its trace, its deadline
and its authorization. Servers are asyncio's alone: `meshwright.Server` refuses a servicer that is not async.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.client import ADDRESSES
from meshwright.sync.sync_channel import SyncChannel
from meshwright.sync.wsgi import WsgiMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshwright.config import ServiceConfig
    from meshwright.telemetry import Telemetry

__all__ = ["SyncChannel", "WsgiMiddleware", "channel"]


def channel(
    name: str,
    config: ServiceConfig | None = None,
    *,
    timeout: float | None = None,
    authorization: bool = True,
    options: Iterable[tuple[str, Any]] = (),
    telemetry: Telemetry | None = None,
) -> SyncChannel:
    """A synchronous channel to the service `name`, for generated stubs. Close it, or use it as a context manager.

    The arguments are those of `meshwright.channel`, the default deadline of 15 s among them. Nothing is opened before
    the first call, so that a channel may be made when a module is imported, and before a server forks its workers.
    Threads may share it. A process that was forked after a call needs `GRPC_ENABLE_FORK_SUPPORT=1` in its environment;
    without that, calls in it raise RuntimeError.
    """
    return SyncChannel(
        name,
        config,
        timeout=timeout,
        authorization=authorization,
        options=tuple(options),
        telemetry=telemetry,
        addresses=ADDRESSES.get(),
    )
