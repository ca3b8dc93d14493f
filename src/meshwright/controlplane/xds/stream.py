"""One ADS stream as a state machine: requests and changes go in, responses come out. No I/O, no clock.

The protocol is xDS state of the world over one aggregated stream (envoyproxy.io, "xDS REST and gRPC protocol"):

- Each response of a type carries a nonce. A request that repeats the latest nonce acknowledges that response, or
  rejects it when it has an `error_detail` (NACK); one with an older nonce crossed with a newer response and means
  nothing, but for this: what it no longer names, the client has forgotten, so naming it later is a new question.
- The first request of a type on a stream is answered whatever it says: after a reconnect gRPC sends its old version
  with an empty nonce. After that we answer what is newly named, and push what changed. A rejected response is not
  sent again until its content changes.
- Listeners and clusters are always sent as the full subscribed set (absence means deletion); routes and endpoints
  only as far as they changed.
- Make before break: clusters, endpoints, listeners, routes. Clusters that are to vanish are kept in the answers
  until the node has acknowledged the routes that do without them.

There is at most one pending answer per type: what changes while a slow reader has not taken the last one joins it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright.controlplane.metrics import RequestKind
from meshwright.controlplane.model.resource_table import EMPTY
from meshwright.controlplane.model.snapshot import NodeKind, Resource, ResourceType
from meshwright.controlplane.xds.codec import with_nonce

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.controlplane.xds.codec import Request
    from meshwright.controlplane.xds.nodes import NodeInfo
    from meshwright.controlplane.xds.response_cache import Bodies, TypeBodies

PUSH_ORDER = (ResourceType.CLUSTER, ResourceType.ENDPOINTS, ResourceType.LISTENER, ResourceType.ROUTE)
FULL_SET = frozenset({ResourceType.LISTENER, ResourceType.CLUSTER})
_LEADING = frozenset({ResourceType.LISTENER, ResourceType.ROUTE})
"""Types whose resources name clusters."""
WILDCARD = "*"


@dataclass(frozen=True, slots=True)
class Nack:
    """A response that the node refused."""

    version: str
    message: str
    at: float


@dataclass(slots=True)
class Subscription:
    """What is known of one type of resource on one stream."""

    names: frozenset[str] = EMPTY
    wildcard: bool = False
    nonce: str = ""
    sent: str = ""
    acked: str = ""
    nack: Nack | None = None
    awaiting: bool = False
    """A response is out that the node has neither accepted nor rejected."""
    pending: frozenset[str] = EMPTY
    """Names whose content the node has not been sent."""
    initial_pending: bool = False
    """The node waits for an answer even if there is nothing in it."""
    preserved: frozenset[str] = EMPTY
    """Names that the node knows from another stream, and is not told that they are unknown."""
    leaving: frozenset[Resource] = frozenset()
    """Clusters that are gone from the snapshot and not yet from the node."""

    @property
    def wanted(self) -> frozenset[str] | None:
        """The names to answer; None for all."""
        return None if self.wildcard else self.names


@dataclass(frozen=True, slots=True)
class Response:
    """An encoded DiscoveryResponse."""

    type: ResourceType
    data: bytes
    resources: int


@dataclass(slots=True, eq=False)
class Stream:
    """The protocol's state. `intern` maps equal sets of names to one object, so that a thousand streams share it."""

    node: NodeInfo
    opened: float = 0.0
    intern: Callable[[frozenset[str]], frozenset[str]] = field(default=lambda names: names)
    types: dict[ResourceType, Subscription] = field(default_factory=dict)
    _count: int = 0

    def receive(self, request: Request, now: float = 0.0) -> RequestKind:
        """Take in a request."""
        state = self.types.get(request.type)
        if state is None:
            state = self.types[request.type] = Subscription(initial_pending=True)
            self._subscribe(state, request, first=True)
            return RequestKind.SUBSCRIBED
        if request.nonce and request.nonce != state.nonce:
            if not state.names <= request.names:
                state.names = self.intern(state.names & request.names)
            return RequestKind.STALE
        request_kind = _judge(state, request, now)
        if request.names != state.names:
            self._subscribe(state, request, first=False)
        return request_kind

    def _subscribe(self, state: Subscription, request: Request, *, first: bool) -> None:
        """Empty names mean everything, for listeners and clusters, in a first request or after another such one."""
        names = request.names - {WILDCARD}
        legacy = not request.names and (first or state.wildcard) and request.type in FULL_SET
        wildcard = legacy or (WILDCARD in request.names and request.type in FULL_SET)
        added = names - state.names
        if added or (wildcard and not state.wildcard):
            state.pending |= added
            state.initial_pending = True
        state.wildcard = wildcard
        if names != state.names:
            state.names = self.intern(names)

    def changed(self, kind: ResourceType, names: frozenset[str], gone: frozenset[Resource] = frozenset()) -> None:
        """Content of subscribed resources changed. `gone` are the old ones among them that have no successor."""
        state = self.types.get(kind)
        if state is None:
            return
        if kind is not ResourceType.CLUSTER:
            state.pending = (state.pending | names) if state.pending else names
            return
        if state.leaving or gone:  # of each name the latest: a response must not name one twice
            state.leaving = frozenset(resource for resource in state.leaving if resource.name not in names) | gone
        came = names - {resource.name for resource in gone} if gone else names
        state.pending |= came
        endpoints = self.types.get(ResourceType.ENDPOINTS)
        if endpoints is not None and self.node.node_profile.kind is NodeKind.ENVOY:
            # Envoy warms a changed cluster anew, and waits for its endpoints ("Resource warming").
            endpoints.pending |= came & endpoints.names

    def next(self, view: Bodies) -> Response | None:
        """The next response to send; None when the node is up to date."""
        for kind in PUSH_ORDER:
            state = self.types.get(kind)
            if state is not None and (state.pending or state.initial_pending):
                response = self._answer(state, view[kind])
                if response is not None:
                    return response
        return self._let_go(view)

    def _answer(self, state: Subscription, view: TypeBodies) -> Response | None:
        pending, initial_pending = state.pending, state.initial_pending
        state.pending, state.initial_pending = EMPTY, False
        if view.type in FULL_SET:
            if not (state.names or state.wildcard or initial_pending):
                return None
            wanted = state.wanted
            if wanted and state.preserved:
                wanted -= {name for name in state.preserved if not view.knows(name)}
            return self._send(state, view, *view.body(wanted, state.leaving))
        data, count = view.body(state.names if initial_pending and pending == state.names else pending & state.names)
        if not count and not initial_pending:
            return None
        return self._send(state, view, data, count)

    def _let_go(self, view: Bodies) -> Response | None:
        """Drop the clusters that are gone, once the node has taken everything that replaces them."""
        state = self.types.get(ResourceType.CLUSTER)
        if state is None or not state.leaving or any(other.awaiting for other in self.types.values()):
            return None
        if any(kind in _LEADING and other.nack for kind, other in self.types.items()):
            return None  # the node goes by the routes before, which lead there
        clusters = view[ResourceType.CLUSTER]
        names = {resource.name for resource in state.leaving} - clusters.resources.keys()
        state.leaving = frozenset()
        if not names or not (state.wildcard or names & state.names):
            return None
        return self._send(state, clusters, *clusters.body(state.wanted))

    def _send(self, state: Subscription, view: TypeBodies, data: bytes, count: int) -> Response:
        self._count += 1
        state.nonce = str(self._count)
        state.sent = view.version
        state.awaiting = True
        return Response(view.type, with_nonce(data, state.nonce), count)


def _judge(state: Subscription, request: Request, now: float) -> RequestKind:
    if not request.nonce:
        return RequestKind.SUBSCRIBED
    state.awaiting = False
    if request.error is not None:
        state.nack = Nack(state.sent, request.error, now)
        return RequestKind.NACK
    state.acked = state.sent
    state.nack = None
    return RequestKind.ACK
