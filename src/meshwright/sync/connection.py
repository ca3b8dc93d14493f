"""What is under a synchronous channel: gRPC's own, by the discovery that the configuration names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.client.bootstrap import prepare
from meshwright.client.connection import known_target, merged, xds_target
from meshwright.client.explanation import of_consul, of_control_plane
from meshwright.client.mesh_channel import DRAIN_SECONDS
from meshwright.client.resolution import FIRST_ANSWER, follow
from meshwright.client.skew import timeout_skew_ms
from meshwright.config import Discovery
from meshwright.model import ServiceName
from meshwright.sync.background import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from meshwright.calls.client.explained import Explain
    from meshwright.config import ServiceConfig
    from meshwright.model import Address
    from meshwright.telemetry import Identity

    Options = tuple[tuple[str, Any], ...]


class Connection:
    """A gRPC channel that may be exchanged for another: `channel` is the one in use."""

    def __init__(self, target: str, options: Options, explain: Explain | None = None) -> None:
        self.channel: grpc.Channel = grpc.insecure_channel(target, options=options)
        self.explain = explain

    def close(self) -> None:
        self.channel.close()


class FollowingConnection(Connection):
    """Follows Consul; open for calls once Consul has answered, or after two seconds."""

    def __init__(self, name: str, config: ServiceConfig, options: Options) -> None:
        super().__init__(*known_target(name, (), ()), of_consul(name, config.consul))
        self._name = name
        self._options = options
        self._lock = threading.Lock()
        self._closed = False
        answered = threading.Event()
        self._watch_task: Future[None] = BACKGROUND.start(
            lambda: follow(ServiceName(name), config.consul, self._replace, answered.set)
        )
        answered.wait(FIRST_ANSWER)

    def _replace(self, addresses: tuple[Address, ...]) -> None:
        target, options = known_target(self._name, addresses, self._options)
        with self._lock:
            if self._closed:
                return
            old, self.channel = self.channel, grpc.insecure_channel(target, options=options)
        BACKGROUND.later(DRAIN_SECONDS, old.close)

    def close(self) -> None:
        self._watch_task.cancel()
        with self._lock:
            self._closed = True
            self.channel.close()


def connect(
    name: str,
    config: ServiceConfig,
    identity: Identity,
    options: Options,
    addresses: Mapping[str, Sequence[Address]] | None,
) -> Connection:
    """Open the connection to a service; `addresses` replaces discovery where it is given."""
    if addresses is not None:
        return Connection(*known_target(name, addresses.get(name, ()), options))
    if config.discovery is Discovery.CONSUL:
        return FollowingConnection(name, config, options)
    prepare(config, identity, timeout_skew_ms)
    return Connection(xds_target(name), merged(options), of_control_plane(name))
