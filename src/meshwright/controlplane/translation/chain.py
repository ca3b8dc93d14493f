"""The compiled discovery chain, read into types.

Consul compiles service-router, service-splitter and service-resolver of a service into one graph (its
documentation: "Discovery chain", `GET /v1/discovery-chain/<service>`). Redirects, default subsets and splits
of splits are already resolved in it, so what is left to do is a walk: a router node gives routes in order, the
last of them a catch-all; a splitter gives weighted branches; a resolver ends the walk in a target, with
failover targets behind it. A chain without a router is one route that matches everything.

Nothing is interpreted here: which of it gRPC can do is decided where the routes are built.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.controlplane.model import localities
from meshwright.controlplane.model.catalog import Target, elsewhere, target_of
from meshwright.controlplane.model.policy import HeaderMatch
from meshwright.controlplane.translation import balancing, header_changes
from meshwright.controlplane.translation.header_changes import UNCHANGED, BothWays
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshwright.controlplane.translation.balancing import LoadBalancer
    from meshwright.model import ServiceName

TOTAL_WEIGHT = 10_000
"""What the weights of a split sum to: Consul's finest step is 0.01 per cent."""

_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Upstream:
    """One cluster to be: the instances of a target, and where calls go when it has none left."""

    id: str
    target: Target
    connect_timeout_ms: float
    failover: tuple[Target, ...] = ()
    here: bool = True
    """Whether the target is one of our Consul's. The list of one elsewhere is not ours of the same name."""
    load_balancer: LoadBalancer | None = None
    """What the service's resolver says of balancing."""
    prioritized: frozenset[Target] = frozenset()
    """Those of the target and its failover targets whose resolvers have `PrioritizeByLocality`."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A share of a route's traffic, out of `TOTAL_WEIGHT`."""

    upstream: str
    weight: int
    headers: BothWays = UNCHANGED
    """What splitters on the way say of headers."""


@dataclass(frozen=True, slots=True)
class QueryMatch:
    """A condition on a query parameter. gRPC has none; an Envoy may see some."""

    name: str
    exact: str = ""
    regex: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """When a route applies: all conditions hold. Without a path condition every path matches."""

    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    headers: tuple[HeaderMatch, ...] = ()
    queries: tuple[QueryMatch, ...] = ()
    methods: tuple[str, ...] = ()
    ignore_case: bool = False
    """Whether the path is compared without regard to case. No effect on an expression."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a router's destination says beyond where to go. 0 and False mean "not said", as in Consul; a time that is
    None is not said, and one of 0 is "none at all".
    """

    prefix_rewrite: str = ""
    timeout_ms: float | None = None
    default_timeout_ms: float = 0.0
    """What counts where nothing else says a timeout: the resolver's, in a chain that starts with one."""
    idle_timeout_ms: float | None = None
    headers: BothWays = UNCHANGED
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    retry_on_connect_failure: bool = False
    retry_on_status_codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the chain. `where` is how a problem with it is located."""

    where: str
    match: Match
    options: Options
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A compiled chain: ordered routes, and the upstreams that they name."""

    service: ServiceName
    routes: tuple[Route, ...]
    upstreams: Mapping[str, Upstream]
    problems: tuple[str, ...] = ()


def parse_chain(service: ServiceName, document: Mapping[str, Any]) -> Chain:
    """Read Consul's JSON; raises `ValidationError` where it is not a chain that can be walked."""
    walk = _Walk(document)
    try:
        walk.note_extensions()
        routes = tuple(walk.routes(str(document["StartNode"])))
        upstreams = {name: walk.upstream(name) for name in sorted(walk.resolvers)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"names {error}, which is not in it" if isinstance(error, KeyError) else str(error)
        raise ValidationError(f"discovery chain of {service}", [Violation("", what)]) from error
    return Chain(service, routes, upstreams, tuple(walk.problems))


class _Walk:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.nodes: Mapping[str, Any] = document["Nodes"] if document.get("Nodes") else {}
        self.document = document
        self.targets: Mapping[str, Any] = document.get("Targets") or {}
        self.resolvers: dict[str, Mapping[str, Any]] = {}
        """The resolver nodes, by target."""
        self.starts_with_resolver = False
        self.problems: list[str] = []

    def routes(self, start: str) -> list[Route]:
        node = self.nodes[start]
        if node["Type"] != "router":
            self.starts_with_resolver = node["Type"] == "resolver"
            timeout = max(0.0, _request_timeout(node)) if self.starts_with_resolver else 0.0
            options = Options(default_timeout_ms=timeout)
            return [Route("the default route", Match(), options, self.branches(start))]
        return [self._route(number, entry) for number, entry in enumerate(node["Routes"] or ())]

    def _route(self, number: int, entry: Mapping[str, Any]) -> Route:
        definition = entry.get("Definition") or {}
        match = _match((definition.get("Match") or {}).get("HTTP") or {})
        options = _options(definition.get("Destination") or {})
        return Route(f"Routes[{number}]", match, options, self.branches(entry["NextNode"]))

    def branches(self, start: str) -> tuple[Branch, ...]:
        shares: dict[_Share, Decimal] = {}
        self._share(start, Decimal(1), UNCHANGED, shares, _DEPTH)
        return _whole_weights(shares)

    def _share(self, name: str, share: Decimal, headers: BothWays, shares: dict[_Share, Decimal], depth: int) -> None:
        node = self.nodes[name]
        if not depth:
            raise ValueError(f"{name} is more than {_DEPTH} nodes deep")
        if node["Type"] == "splitter":
            for split in node["Splits"]:
                part = share * Decimal(str(split.get("Weight", 0))) / 100
                changed = headers.then(header_changes.read(split.get("Definition") or {}))
                self._share(split["NextNode"], part, changed, shares, depth - 1)
        elif node["Type"] == "resolver":
            target = str(node["Resolver"]["Target"])
            self.resolvers[target] = node
            shares[target, headers] = shares.get((target, headers), Decimal(0)) + share
        else:
            raise ValueError(f"node {name} is of the unknown type {node['Type']!r}")

    def upstream(self, name: str) -> Upstream:
        node, resolver = self.resolvers[name], self.resolvers[name]["Resolver"]
        failover = (resolver.get("Failover") or {}).get("Targets") or ()
        place = self._elsewhere(name)
        if place:
            self.problems.append(f"target {name} is in {place}, where Meshwright does not look: it is empty")
        for other in failover:
            if self._elsewhere(other):
                what = f"failover from {name} to {other} is left out: it is in {self._elsewhere(other)}"
                self.problems.append(what)
        near = [name, *failover]
        near = [other for other in near if localities.read(self.targets[other]) == localities.FAILOVER]
        self._note_ignored(name, node)
        return Upstream(
            id=name,
            target=target_of(self.targets[name]),
            connect_timeout_ms=max(0.0, durations.milliseconds(resolver.get("ConnectTimeout"))),
            failover=tuple(target_of(self.targets[other]) for other in failover if not self._elsewhere(other)),
            here=not place,
            load_balancer=balancing.read(node.get("LoadBalancer")),
            prioritized=frozenset(target_of(self.targets[other]) for other in near if not self._elsewhere(other)),
        )

    def note_extensions(self) -> None:
        """What service-defaults and proxy-defaults add to Consul's own proxies."""
        for extension in self.document.get("EnvoyExtensions") or ():
            what = f"EnvoyExtensions {extension.get('Name')} is for Consul's own proxies; it is ignored"
            self.problems.append(what)

    def _note_ignored(self, name: str, node: Mapping[str, Any]) -> None:
        """What a resolver says that nothing here does."""
        if _request_timeout(node) and not self.starts_with_resolver:
            self.problems.append(f"RequestTimeout of {name} is not applied behind a router or a splitter, as in Consul")
        mode = ((node["Resolver"].get("Failover") or {}).get("Policy") or {}).get("Mode") or "sequential"
        if mode != "sequential":
            self.problems.append(f"the failover Policy {mode} of {name} is ignored; its targets are tried in order")
        for target in (name, *((node["Resolver"].get("Failover") or {}).get("Targets") or ())):
            mode = localities.read(self.targets[target])
            if mode not in localities.MODES and not self._elsewhere(target):
                what = f"PrioritizeByLocality {mode} of {target} is not known here: all localities get calls"
                self.problems.append(what)

    def _elsewhere(self, name: str) -> str:
        return elsewhere(self.document, self.targets[name])


_Share = tuple[str, BothWays]


def _request_timeout(node: Mapping[str, Any]) -> float:
    return durations.milliseconds(node["Resolver"].get("RequestTimeout"), signed=True)


def _whole_weights(shares: Mapping[_Share, Decimal]) -> tuple[Branch, ...]:
    """Weights that sum to `TOTAL_WEIGHT`, by largest remainder; what gets traffic at all keeps at least 1."""
    wanted = {name: share for name, share in sorted(shares.items()) if share > 0}
    if not wanted:
        raise ValueError("a split gives no weight to anything")
    total = sum(wanted.values())
    exact = {name: share / total * TOTAL_WEIGHT for name, share in wanted.items()}
    weights = {name: max(1, int(value)) for name, value in exact.items()}
    rest = TOTAL_WEIGHT - sum(weights.values())
    by_remainder = sorted(exact, key=lambda name: (int(exact[name]) - exact[name], name))
    for step in range(max(rest, 0)):
        weights[by_remainder[step % len(by_remainder)]] += 1
    if rest < 0:  # more branches below the finest step than the others' remainders made room for
        weights[max(weights, key=lambda name: (weights[name], name))] += rest
    return tuple(Branch(name, weight, headers) for (name, headers), weight in weights.items())


def _match(http: Mapping[str, Any]) -> Match:
    return Match(
        path_exact=http.get("PathExact") or "",
        path_prefix=http.get("PathPrefix") or "",
        path_regex=http.get("PathRegex") or "",
        headers=tuple(_header(entry) for entry in http.get("Header") or ()),
        queries=tuple(
            QueryMatch(entry["Name"], entry.get("Exact") or "", entry.get("Regex") or "")
            for entry in http.get("QueryParam") or ()
        ),
        methods=tuple(http.get("Methods") or ()),
        ignore_case=bool(http.get("CaseInsensitive", False)),
    )


def _header(entry: Mapping[str, Any]) -> HeaderMatch:
    return HeaderMatch(
        name=entry["Name"].lower(),
        exact=entry.get("Exact") or None,
        prefix=entry.get("Prefix") or None,
        suffix=entry.get("Suffix") or None,
        regex=entry.get("Regex") or None,
        present=entry.get("Present") or None,
        invert=bool(entry.get("Invert", False)),
    )


def _options(destination: Mapping[str, Any]) -> Options:
    return Options(
        prefix_rewrite=destination.get("PrefixRewrite") or "",
        timeout_ms=_time(destination.get("RequestTimeout")),
        idle_timeout_ms=_time(destination.get("IdleTimeout")),
        headers=header_changes.read(destination),
        retry_on=tuple(str(condition) for condition in destination.get("RetryOn") or ()),
        retries=int(destination.get("NumRetries") or 0),
        retry_on_connect_failure=bool(destination.get("RetryOnConnectFailure", False)),
        retry_on_status_codes=tuple(_codes(destination.get("RetryOnStatusCodes") or ())),
    )


def _time(value: str | int | float | None) -> float | None:
    """Nothing, or 0, is not said; a negative time is "none at all"."""
    time = durations.milliseconds(value, signed=True)
    return max(0.0, time) if time else None


def _codes(codes: Sequence[Any]) -> list[int]:
    return sorted({int(code) for code in codes})
