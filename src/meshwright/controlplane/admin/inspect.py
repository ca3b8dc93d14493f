"""Looking at a control plane as a gRPC client would: what would a process that dials `xds:///user` be told?

We open an ADS stream, subscribe to the listener, and follow the references as gRPC does: listener to routes, routes to
clusters, clusters to endpoints. So it works against every control plane, a remote one too, and shows what is really
sent. Only the readable form is handed out.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.consul import Backoff
from meshwright.controlplane.admin.readable import readable_any
from meshwright.controlplane.admin.references import name_of, referenced
from meshwright.controlplane.metrics import SHORT_NAMES
from meshwright.controlplane.model.localities import NOWHERE, Place
from meshwright.controlplane.model.snapshot import ResourceType
from meshwright.controlplane.xds.nodes import SKEW
from meshwright.controlplane.xds.server import METHOD
from meshwright.errors import UnreachableError
from meshwright.messages.xds import DiscoveryRequest, DiscoveryResponse, Node
from meshwright.model import ServiceName

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from meshwright.messages.xds import AnyMessage
    from meshwright.model import Address

Key = tuple[ResourceType, str]
ORDER = (ResourceType.LISTENER, ResourceType.ROUTE, ResourceType.CLUSTER, ResourceType.ENDPOINTS)


@dataclass(frozen=True, slots=True)
class Shown:
    """One resource, readable."""

    type: str
    """`listener`, `route`, `cluster` or `endpoints`."""
    name: str
    content: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The content as indented JSON."""
        return json.dumps(self.content, indent=2, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Dump:
    """Everything that a client of one service is told."""

    service: ServiceName
    known: bool
    """False: the mesh knows no such service, and calls to it fail at once."""
    versions: Mapping[str, str]
    """By type, the version of the answer: equal on control planes that know the same."""
    resources: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that came, changed or went."""

    what: str
    """`added`, `changed` or `removed`."""
    type: str
    name: str
    diff: tuple[str, ...]
    """Lines of a unified diff of the readable content."""


async def dump(
    address: Address, service: str, *, timeout: float = 5.0, timeout_skew_ms: int = 0, place: Place = NOWHERE
) -> Dump:
    """The resources that a client gets now that dials `service` from `place`.

    Raises `UnreachableError` where not all of them came within `timeout` seconds.
    """
    view = _View(service)
    try:
        async with asyncio.timeout(timeout), aclosing(_follow(address, view, timeout_skew_ms, place)) as answers:
            async for _ in answers:
                if view.whole:
                    return view.dump()
    except TimeoutError:
        reason = "not all was answered in time" if view.versions else "no answer in time (not ready, or nothing there)"
        raise UnreachableError(f"control plane at {address}: {reason}") from None
    raise UnreachableError(f"control plane at {address}: it ended the stream")


async def watch(
    address: Address,
    service: str,
    *,
    timeout_skew_ms: int = 0,
    place: Place = NOWHERE,
    backoff: Backoff = Backoff(),  # noqa: B008 (frozen)
) -> AsyncIterator[Change]:
    """What changes for a client of `service`: first all there is, as added; then each change, until cancelled.

    A lost control plane is dialled again; raises `UnreachableError` only where it could not be reached at first.
    """
    shown: dict[Key, Shown] = {}
    failures = 0
    while True:
        view = _View(service)
        try:
            async with aclosing(_follow(address, view, timeout_skew_ms, place)) as answers:
                async for _ in answers:
                    if view.whole:
                        failures = 0
                        for change in differences(shown, view.shown()):
                            yield change
                        shown = view.shown()
            failures += 1
        except UnreachableError:
            if not shown:
                raise
            failures += 1
        await asyncio.sleep(backoff.delay(failures, 0.5))


def differences(old: Mapping[Key, Shown], new: Mapping[Key, Shown]) -> list[Change]:
    """From one state to the next, in the order in which gRPC resolves."""
    changes = []
    for key in sorted(old.keys() | new.keys(), key=lambda key: (ORDER.index(key[0]), key[1])):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        what = "added" if before is None else "removed" if now is None else "changed"
        left, right = (shown.text.splitlines() if shown else [] for shown in (before, now))
        diff = tuple(difflib.unified_diff(left, right, "before", "now", lineterm="", n=2))
        changes.append(Change(what, SHORT_NAMES[key[0]], key[1], diff))
    return changes


@dataclass(slots=True)
class _View:
    """What was received so far, and what it refers to."""

    service: str
    packed: dict[Key, AnyMessage] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    nonces: dict[ResourceType, str] = field(default_factory=dict)
    asked: dict[ResourceType, frozenset[str]] = field(default_factory=dict)
    unanswered: set[ResourceType] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        """Whether every question was answered."""
        return not self.unanswered and self.asked == self._wanted()

    def questions(self) -> list[DiscoveryRequest]:
        """Requests for what the resources refer to and was not asked for, or not any more."""
        wanted = self._wanted()
        requests = []
        for kind in ORDER:
            names = wanted.get(kind, frozenset())
            if self.asked.get(kind, frozenset()) != names:
                if names - self.asked.get(kind, frozenset()):
                    self.unanswered.add(kind)
                if names:
                    self.asked[kind] = names
                else:  # what referred to them has gone: a subscription that was taken back gets no answer
                    del self.asked[kind]
                    self.unanswered.discard(kind)
                requests.append(self._request(kind))
        return requests

    def take(self, response: DiscoveryResponse) -> DiscoveryRequest:
        """Take in a response; returns its acknowledgement."""
        kind = ResourceType(response.type_url)
        if kind in (ResourceType.LISTENER, ResourceType.CLUSTER):
            self.packed = {key: value for key, value in self.packed.items() if key[0] is not kind}
        for packed in response.resources:
            self.packed[kind, name_of(kind, packed)] = packed
        self.versions[SHORT_NAMES[kind]] = response.version_info
        self.nonces[kind] = response.nonce
        self.unanswered.discard(kind)
        return self._request(kind)

    def shown(self) -> dict[Key, Shown]:
        """The readable form of what is referred to."""
        wanted = self._wanted()
        return {
            (kind, name): Shown(SHORT_NAMES[kind], name, readable_any(packed))
            for (kind, name), packed in self.packed.items()
            if name in wanted.get(kind, ())
        }

    def dump(self) -> Dump:
        shown = self.shown()
        keys = sorted(shown, key=lambda key: (ORDER.index(key[0]), key[1]))
        known = any(kind is not ResourceType.LISTENER for kind, _ in shown)
        return Dump(ServiceName(self.service), known, dict(self.versions), tuple(shown[key] for key in keys))

    def _wanted(self) -> dict[ResourceType, frozenset[str]]:
        wanted = {ResourceType.LISTENER: frozenset({self.service})}
        for kind in ORDER:
            for name in sorted(wanted.get(kind, ())):
                self._follow_one(kind, name, wanted)
        return {kind: names for kind, names in wanted.items() if names}

    def _follow_one(self, kind: ResourceType, name: str, wanted: dict[ResourceType, frozenset[str]]) -> None:
        packed = self.packed.get((kind, name))
        if packed is None:
            return
        for target, names in referenced(kind, packed).items():
            fresh = names - wanted.get(target, frozenset())
            wanted[target] = wanted.get(target, frozenset()) | names
            if target is kind:  # an aggregate cluster refers to clusters
                for other in sorted(fresh):
                    self._follow_one(kind, other, wanted)

    def _request(self, kind: ResourceType) -> DiscoveryRequest:
        return DiscoveryRequest(
            type_url=kind.value,
            resource_names=sorted(self.asked.get(kind, ())),
            response_nonce=self.nonces.get(kind, ""),
            version_info=self.versions.get(SHORT_NAMES[kind], ""),
        )


async def _follow(address: Address, view: _View, skew: int, place: Place) -> AsyncGenerator[None]:
    """Converse with a control plane, yielding after each answer that `view` took in."""
    node = Node(id=f"inspect-{view.service}", user_agent_name="meshwright")
    node.metadata.update({SKEW: skew})
    node.locality.region, node.locality.zone = place.region, place.zone
    async with grpc.aio.insecure_channel(str(address)) as channel:
        call = channel.stream_stream(
            METHOD,
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )()
        try:
            for number, request in enumerate(view.questions()):
                if number == 0:
                    request.node.CopyFrom(node)
                await call.write(request)
            while isinstance(response := await call.read(), DiscoveryResponse):
                await call.write(view.take(response))
                for request in view.questions():
                    await call.write(request)
                yield
        except grpc.aio.AioRpcError as error:
            raise UnreachableError(f"control plane at {address}: {error.details()}") from error
        finally:
            call.cancel()
