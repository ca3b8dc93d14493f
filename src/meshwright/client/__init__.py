"""Calling a service by its name: `channel("user")`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from meshwright.calls.client.methods import ClientCalls
from meshwright.client.bootstrap import prepare
from meshwright.client.connection import open_known, open_xds
from meshwright.client.explanation import of_consul, of_control_plane
from meshwright.client.mesh_channel import MeshChannel
from meshwright.client.resolution import ConsulChannel
from meshwright.client.skew import timeout_skew_ms
from meshwright.config import Discovery
from meshwright.errors import ValidationError, Violation
from meshwright.model import path_problem
from meshwright.telemetry import acquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshwright.calls.client.explained import Explain
    from meshwright.config import ServiceConfig
    from meshwright.model import Address
    from meshwright.telemetry import Telemetry

__all__ = ["ADDRESSES", "MeshChannel", "channel"]

ADDRESSES: ContextVar[Mapping[str, Sequence[Address]] | None] = ContextVar("meshwright_addresses", default=None)
"""The seam for tests: where services are, instead of what discovery says."""


def channel(
    name: str,
    config: ServiceConfig | None = None,
    *,
    timeout: float | None = None,
    authorization: bool = True,
    options: Iterable[tuple[str, Any]] = (),
    telemetry: Telemetry | None = None,
) -> MeshChannel:
    """A channel to the service `name`, for generated stubs. Close it, or use it as an async context manager.

    `config` is that of the server that calls; without it, that of the server in whose context this runs, or the
    environment's. `timeout`: seconds for a call that gives none; without it `config.call_timeout`
    (`MESHWRIGHT_CALL_TIMEOUT`, 15 s); 0: none. It is for calls with one request and one answer: a stream lasts as long
    as it is read, so it has the deadline that its call is given, or none. Calls made while answering a call end with
    that one in any case. `authorization`: whether the incoming call's is passed on. `options`: gRPC channel arguments.
    `telemetry`: instead of that of `config`.

    A call that reaches no server says why in its details: an unknown name, or the part that does not answer. Raises
    `ValidationError` for a name that Consul could not have.
    """
    if problem := path_problem(name):
        raise ValidationError("the name of a service", [Violation(repr(name), problem)])
    ours = telemetry or acquire(config)
    chosen = config or ours.config
    seconds = chosen.call_timeout if timeout is None else timeout

    def calls(explain: Explain | None = None) -> ClientCalls:
        return ClientCalls(ours, name, timeout=seconds or None, authorization=authorization, explain=explain)

    on_close = ours.release if telemetry is None else _nothing
    addresses = ADDRESSES.get()
    if addresses is not None:
        return MeshChannel(calls(), lambda: open_known(name, addresses.get(name, ()), options), on_close)
    if chosen.discovery is Discovery.CONSUL:
        return ConsulChannel(calls(of_consul(name, chosen.consul)), chosen.consul, options, on_close)
    prepare(chosen, ours.identity, timeout_skew_ms)
    return MeshChannel(calls(of_control_plane(name)), lambda: open_xds(name, options), on_close)


async def _nothing() -> None:
    """Telemetry that was given is the giver's to close."""
