"""A routing as Consul's config entries, and config entries as a routing. Pure; for Consul 1.8.4 and later.

Four entries of a service concern its versions. `service-defaults` must have a request-based protocol, or Consul rejects
the others. `service-resolver` defines a subset for each version, by the instances' meta. `service-splitter` has the
weights and belongs to the rollout entirely. `service-router` has the header routes *above* all other routes: routes are
tried in order, and the other routes stay unchanged.

The rollout's own parts are recognised from the entries alone: a subset by its name and filter, the splitter and each
route by a mark in the entry's `Meta`. Consul rejects an entry with an unknown subset, so subsets are added first and
removed last: `writes` returns what can be written *now*, until there is nothing left.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError
from meshwright.rollout.api.routing import WHOLE, HeaderMatch, HeaderRoute, Routing
from meshwright.rollout.api.spec import subset_name

if TYPE_CHECKING:
    from collections.abc import Mapping

Entry = dict[str, Any]

DEFAULTS, RESOLVER, SPLITTER, ROUTER = "service-defaults", "service-resolver", "service-splitter", "service-router"
KINDS = (DEFAULTS, RESOLVER, SPLITTER, ROUTER)
OWNER = "meshwright-rollout"
"""The key in a splitter's or router's `Meta` that names the rollout, `namespace/name`."""
ROUTE = "meshwright-route-"
"""Followed by a route's name: the key in a router's `Meta` that holds the route's digest."""

_FILTER = re.compile(r'Service\.Meta\.version == "([^"]+)"')
_REQUESTS = frozenset({"http", "http2", "grpc"})
_INDEXES = frozenset({"CreateIndex", "ModifyIndex"})


class ForeignTrafficError(MeshwrightError):
    """The service's entries belong to another rollout."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write. `cas` is the expected index of the entry, 0 for an entry that must not exist."""

    kind: str
    name: str
    entry: Entry | None = field(hash=False)
    """None: delete it."""
    cas: int
    is_tidying: bool = False
    """Whether a rejection is harmless: another service's entry still names a subset."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The four entries of a service in Consul; None for a missing one."""

    service: str
    owner: str
    """The rollout that owns them, `namespace/name`."""
    found: Mapping[str, Entry | None] = field(default_factory=dict, hash=False)

    def get(self, kind: str) -> Entry:
        return {key: value for key, value in (self.found.get(kind) or {}).items() if key not in _INDEXES}

    def index(self, kind: str) -> int:
        entry = self.found.get(kind)
        return int(entry["ModifyIndex"]) if entry else 0

    def base(self, kind: str) -> Entry:
        return {"Kind": kind, "Name": self.service} | self.get(kind)

    def write(self, kind: str, entry: Entry | None, *, is_tidying: bool = False) -> Write:
        return Write(kind, self.service, entry, self.index(kind), is_tidying)

    def check_owner(self) -> None:
        for kind in (SPLITTER, ROUTER):
            owner = _meta(self.get(kind)).get(OWNER, self.owner)
            if owner != self.owner:
                raise ForeignTrafficError(f"{kind} {self.service} belongs to the rollout {owner}")


def read(entries: Entries) -> Routing | None:
    """The routing that the entries express; None where it is not the rollout's."""
    shares = _weights(entries)
    routes = _routes(entries)
    is_first = (entries.get(ROUTER).get("Routes") or [])[: len(routes)] == [route for route, _ in routes]
    if shares is None or not is_first or len(routes) != len(_marks(entries)):
        return None
    return Routing(shares, tuple(ours for _, ours in routes))


def _weights(entries: Entries) -> dict[str, int] | None:
    versions = _versions(entries.get(RESOLVER))
    splitter = entries.get(SPLITTER)
    if _meta(splitter).get(OWNER) != entries.owner:
        return None
    weights: dict[str, int] = {}
    for split in splitter.get("Splits") or ():
        version = versions.get(split.get("ServiceSubset", ""))
        if version is None or split.get("Service", entries.service) != entries.service:
            return None
        weights[version] = weights.get(version, 0) + round(split.get("Weight", 0))
    if sum(weights.values()) != WHOLE:
        return None
    return {version: weight for version, weight in weights.items() if weight}


def writes(entries: Entries, routing: Routing) -> tuple[Write, ...]:
    """The next writes towards `routing`; empty when it is reached."""
    entries.check_owner()
    first = _opening(entries, routing)
    if first:
        return first
    found = (*_splitter(entries, routing), *_router(entries, routing.header_routes))
    return found or _tidying(entries, routing.versions)


def release(entries: Entries) -> tuple[Write, ...]:
    """The next writes that remove the rollout's part; empty when it is removed or another rollout owns the entries."""
    try:
        entries.check_owner()
    except ForeignTrafficError:
        return ()
    found = [*_router(entries, ())]
    if _meta(entries.get(SPLITTER)).get(OWNER) == entries.owner:
        found.append(entries.write(SPLITTER, None))
    return tuple(found) or _tidying(entries, frozenset())


def _opening(entries: Entries, routing: Routing) -> tuple[Write, ...]:
    """The protocol and the subsets."""
    found = []
    defaults = entries.base(DEFAULTS)
    if str(defaults.get("Protocol", "")).lower() not in _REQUESTS:
        found.append(entries.write(DEFAULTS, {**defaults, "Protocol": "grpc"}))
    resolver = entries.base(RESOLVER)
    wanted = {subset_name(version): _subset(version) for version in sorted(routing.versions)}
    subsets = {**(resolver.get("Subsets") or {}), **wanted}
    if subsets != (resolver.get("Subsets") or {}):
        found.append(entries.write(RESOLVER, {**resolver, "Subsets": subsets}))
    return tuple(found)


def _splitter(entries: Entries, routing: Routing) -> tuple[Write, ...]:
    wanted = {version: weight for version, weight in sorted(routing.weights.items()) if weight}
    if _weights(entries) == wanted:
        return ()
    splits = [{"Weight": weight, "ServiceSubset": subset_name(version)} for version, weight in wanted.items()]
    splitter = entries.base(SPLITTER)
    meta = {**_meta(splitter), OWNER: entries.owner}
    return (entries.write(SPLITTER, {**splitter, "Splits": splits, "Meta": meta}),)


def _router(entries: Entries, routes: tuple[HeaderRoute, ...]) -> tuple[Write, ...]:
    router = entries.base(ROUTER)
    there = {_digest(route): route for route, _ in _routes(entries)}
    made = [(route.name, _route(route)) for route in routes]
    marks = {ROUTE + name: _digest(route) for name, route in made}
    ours = [there.get(_digest(route), route) for _, route in made]
    wanted = ours + [route for route in router.get("Routes") or () if _digest(route) not in there]
    meta = {key: value for key, value in _meta(router).items() if key != OWNER and not key.startswith(ROUTE)}
    meta |= ({OWNER: entries.owner} | marks) if routes else {}
    if wanted == list(router.get("Routes") or ()) and meta == _meta(router):
        return ()
    if not wanted and not meta:
        return (entries.write(ROUTER, None),)
    without = {key: value for key, value in router.items() if key != "Meta"}
    return (entries.write(ROUTER, without | {"Routes": wanted} | ({"Meta": meta} if meta else {})),)


def _tidying(entries: Entries, versions: frozenset[str]) -> tuple[Write, ...]:
    """Without the subsets of unreachable versions, unless another route names them."""
    resolver = entries.base(RESOLVER)
    named = json.dumps(entries.get(ROUTER).get("Routes") or [])
    surplus = {
        name
        for name, version in _versions(resolver).items()
        if version not in versions and json.dumps(name) not in named and resolver.get("DefaultSubset") != name
    }
    if not surplus:
        return ()
    subsets = {name: subset for name, subset in resolver["Subsets"].items() if name not in surplus}
    rest = {key: value for key, value in resolver.items() if key != "Subsets"} | (
        {"Subsets": subsets} if subsets else {}
    )
    is_empty = set(rest) <= {"Kind", "Name"}
    return (entries.write(RESOLVER, None if is_empty else rest, is_tidying=True),)


def _subset(version: str) -> Entry:
    return {"Filter": f'Service.Meta.version == "{version}"'}


def _versions(resolver: Mapping[str, Any]) -> dict[str, str]:
    """The version of each subset that belongs to the rollout."""
    found = {}
    for name, subset in (resolver.get("Subsets") or {}).items():
        match = _FILTER.fullmatch(subset.get("Filter", ""))
        if match and name == subset_name(match.group(1)):
            found[name] = match.group(1)
    return found


def _route(route: HeaderRoute) -> Entry:
    kinds = {"Exact": "exact", "Prefix": "prefix", "Regex": "regex"}
    headers = [
        {"Name": match.header}
        | {theirs: getattr(match, ours) for theirs, ours in kinds.items() if getattr(match, ours) is not None}
        for match in route.match
    ]
    return {"Match": {"HTTP": {"Header": headers}}, "Destination": {"ServiceSubset": subset_name(route.version)}}


def _routes(entries: Entries) -> list[tuple[Entry, HeaderRoute]]:
    """The rollout's routes in the router: those whose digest is in its marks."""
    names = {digest: name for name, digest in _marks(entries).items()}
    versions = _versions(entries.get(RESOLVER))
    found = []
    for route in entries.get(ROUTER).get("Routes") or ():
        name = names.get(_digest(route))
        version = versions.get((route.get("Destination") or {}).get("ServiceSubset", ""))
        if name is not None and version is not None:
            headers = tuple(
                HeaderMatch(one["Name"], one.get("Exact"), one.get("Prefix"), one.get("Regex"))
                for one in route["Match"]["HTTP"]["Header"]
            )
            found.append((route, HeaderRoute(name, version, headers)))
    return found


def _marks(entries: Entries) -> dict[str, str]:
    meta = _meta(entries.get(ROUTER))
    return {key.removeprefix(ROUTE): value for key, value in meta.items() if key.startswith(ROUTE)}


def _digest(route: Mapping[str, Any]) -> str:
    """A digest of a route's content, independent of the form in which Consul returns it."""
    said = _bare(route)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _bare(value: Any) -> Any:
    """Without empty values, and without the namespaces and partitions that later Consul versions add."""
    if isinstance(value, dict):
        kept = {key: _bare(one) for key, one in value.items() if key not in ("Namespace", "Partition")}
        return {key: one for key, one in kept.items() if one not in ({}, [], "", None, False)}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _meta(entry: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.get("Meta") or {})
