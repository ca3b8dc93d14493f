"""Compiles router, splitter and resolver entries into a discovery chain.

The chain is a graph that starts at a service: one router (if there is one for that very service), splitters, and
resolvers at the leaves, each of which names a target: a subset of a service in a datacenter. The compiler walks from
the start and makes nodes as it meets them. A resolver that redirects, or has a default subset, is followed until a
target resolves to itself. Failover resolves further targets that get no nodes of their own. When the graph stands,
splitters that point at splitters are flattened into one whose weights are products, and nodes that are not referred to
any more are dropped.

All services in one chain must share one protocol, and a router or splitter needs one that is HTTP-like; that, a
missing subset, and circles are the errors of a graph, which Consul reports when an entry is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev.consul.config_entries.customization import digest
from meshwright.dev.consul.config_entries.entries import (
    DEFAULTS,
    PROXY,
    RESOLVER,
    ROUTE,
    ROUTER,
    SPLITTER,
    SUBSET,
    weight,
)
from meshwright.dev.consul.decode import encode
from meshwright.dev.consul.http_errors import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshwright.dev.consul.config_entries.entries import Entry

    Find = Callable[[str, str], Entry | None]

HTTP_LIKE = ("http", "http2", "grpc")
NAMESPACE = "default"
DEFAULT_CONNECT_TIMEOUT = 5 * durations.SECOND


@dataclass(frozen=True)
class Overrides:
    """What a caller may have its own way: durations in nanoseconds."""

    protocol: str = ""
    connect_timeout: int = 0
    gateway_mode: str = ""

    @property
    def flat(self) -> bool:
        """Whether the protocol asked for leaves no room for routers and splitters."""
        return bool(self.protocol) and self.protocol not in HTTP_LIKE


@dataclass(frozen=True, order=True)
class Target:
    """A subset of a service in a datacenter."""

    service: str
    datacenter: str
    subset: str = ""
    namespace: str = NAMESPACE

    @property
    def id(self) -> str:
        """As Consul names it."""
        parts = (self.subset, self.service, self.namespace, self.datacenter)
        return ".".join(part for part in parts if part)


@dataclass(frozen=True)
class Place:
    """Where a chain is compiled for (`datacenter`), and where it will be used (`here`)."""

    datacenter: str
    here: str
    trust_domain: str


@dataclass
class _Compiler:
    service: str
    place: Place
    find: Find
    overrides: Overrides
    protocol: str = ""
    advanced: bool = False
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    customized: dict[str, Any] = field(default_factory=dict)

    # -- the walk

    def start(self) -> str:
        router = self.find(ROUTER, self.service)
        if router is not None and self.overrides.flat:
            router, self.customized["protocol"] = None, self.overrides.protocol
        if router is None:
            return self.splitter_or_resolver(self.service)
        self.advanced = True
        self.meet_protocol(self.service)
        routes = [self.route(route) for route in router.get("Routes") or ()]
        fallback = {
            "Match": {"HTTP": {"PathPrefix": "/"}},
            "Destination": {"Service": self.service, "Namespace": NAMESPACE},
        }
        routes.append({"Definition": fallback, "NextNode": self.splitter_or_resolver(self.service)})
        return self.add("router", f"{self.service}.{NAMESPACE}", {"Routes": routes})

    def route(self, route: Mapping[str, Any]) -> dict[str, Any]:
        destination = route.get("Destination") or {}
        service = destination.get("Service") or self.service
        subset, namespace = destination.get("ServiceSubset", ""), destination.get("Namespace") or NAMESPACE
        if subset or namespace != NAMESPACE:
            following = self.resolver(Target(service, self.place.datacenter, subset, namespace))
        else:
            following = self.splitter_or_resolver(service)
        return {"Definition": encode(route, ROUTE), "NextNode": following}

    def splitter_or_resolver(self, service: str) -> str:
        return self.splitter(service) or self.resolver(Target(service, self.place.datacenter))

    def splitter(self, service: str) -> str | None:
        key = f"splitter:{service}.{NAMESPACE}"
        if key in self.nodes:
            return key
        entry = self.find(SPLITTER, service)
        if entry is None:
            return None
        if self.overrides.flat:
            self.customized["protocol"] = self.overrides.protocol
            return None
        splits: list[dict[str, Any]] = []
        # Recorded before its branches are followed, so that a circle ends here and is found afterwards.
        self.add("splitter", f"{service}.{NAMESPACE}", {"Splits": splits})
        self.advanced = True
        for split in entry["Splits"]:
            # One at a time: a circle meets this node while it has only some of its splits.
            splits.append({"Weight": split["Weight"], "NextNode": self.branch(service, split)})  # noqa: PERF401
        return key

    def branch(self, service: str, split: Mapping[str, Any]) -> str:
        name = split.get("Service") or service
        subset, namespace = split.get("ServiceSubset", ""), split.get("Namespace") or NAMESPACE
        if name != service and not subset and namespace == NAMESPACE:
            inner = self.splitter(name)
            if inner is not None:
                return inner
        return self.resolver(Target(name, self.place.datacenter, subset, namespace))

    def resolver(self, target: Target) -> str:
        target, entry = self.resolve(target)
        key = f"resolver:{target.id}"
        if key in self.nodes:
            return key
        body = self.resolution(target, entry)
        self.add("resolver", target.id, {"Resolver": body})
        failover = self.failover_targets(target, entry)
        if failover:
            body["Failover"] = {"Targets": failover}
        return key

    def resolve(self, target: Target) -> tuple[Target, Entry]:
        """Follow redirects and default subsets until the target stays what it is."""
        history: list[str] = []
        while True:
            if f"resolver:{target.id}" in self.nodes:
                return target, self.entry(target)
            self.meet_protocol(target.service)
            if target.id in history:
                trail = " -> ".join([*history, target.id])
                raise refused(f"detected circular resolver redirect: [{trail}]")
            history.append(target.id)
            entry = self.entry(target)
            following = self.redirected(target, entry)
            if following.id == target.id:
                break
            target = following
        if target.subset and target.subset not in (entry.get("Subsets") or {}):
            raise refused(f'service "{target.service}" does not have a subset named "{target.subset}"')
        return target, entry

    def redirected(self, target: Target, entry: Entry) -> Target:
        redirect = entry.get("Redirect")
        if redirect is not None:
            following = _rewritten(target, redirect, redirect.get("Datacenter", ""))
            if following.id != target.id:
                return following
        if not target.subset and entry.get("DefaultSubset"):
            return Target(target.service, target.datacenter, entry["DefaultSubset"], target.namespace)
        return target

    def failover_targets(self, target: Target, entry: Entry) -> list[str]:
        rules = entry.get("Failover") or {}
        rule = rules.get(target.subset, rules.get("*"))
        if rule is None:
            return []
        found: list[str] = []
        for datacenter in rule.get("Datacenters") or [""]:
            candidate = _rewritten(target, rule, datacenter)
            if candidate.id != target.id:  # no failing over to oneself
                final, final_entry = self.resolve(candidate)
                if f"resolver:{final.id}" not in self.nodes:
                    self.resolution(final, final_entry)
                found.append(final.id)
        return found

    # -- what a leaf says

    def resolution(self, target: Target, entry: Entry) -> dict[str, Any]:
        """The resolver's part of a node; records the target."""
        timeout = entry.get("ConnectTimeout", 0) or DEFAULT_CONNECT_TIMEOUT
        asked = self.overrides.connect_timeout
        if asked > 0 and asked != timeout:
            timeout, self.customized["timeout"] = asked, asked
        self.targets[target.id] = self.describe(target, entry)
        default = {} if any(entry.get(name) for name in _CUSTOM) else {"Default": True}
        return {"ConnectTimeout": durations.show(timeout), **default, "Target": target.id}

    def describe(self, target: Target, entry: Entry) -> dict[str, Any]:
        sni = f"{target.id}.internal.{self.place.trust_domain}"
        subset = {"ServiceSubset": target.subset} if target.subset else {}
        external = (self.find(DEFAULTS, target.service) or {}).get("ExternalSNI")
        if external:
            self.refuse_external(target, entry)
        return {
            "ID": target.id,
            "Service": target.service,
            **subset,
            "Namespace": target.namespace,
            "Datacenter": target.datacenter,
            "MeshGateway": {} if external else self.gateway(target),
            "Subset": encode((entry.get("Subsets") or {}).get(target.subset) or {}, SUBSET),
            **({"External": True} if external else {}),
            "SNI": external or sni,
            "Name": sni,
        }

    def refuse_external(self, target: Target, entry: Entry) -> None:
        for name, noun in (("Redirect", "redirects"), ("Subsets", "subsets"), ("Failover", "failover")):
            if entry.get(name):
                raise refused(
                    f'service "{target.service}" has an external SNI set; cannot define {noun} for external services'
                )

    def gateway(self, target: Target) -> dict[str, str]:
        """Gateways matter only on the way to another datacenter."""
        if target.datacenter == self.place.here:
            return {}
        own = ((self.find(DEFAULTS, target.service) or {}).get("MeshGateway") or {}).get("Mode", "")
        everywhere = ((self.find(PROXY, "global") or {}).get("MeshGateway") or {}).get("Mode", "")
        mode = own or everywhere
        asked = self.overrides.gateway_mode
        if asked and asked != mode:
            mode, self.customized["gateway"] = asked, asked
        return {"Mode": mode} if mode else {}

    # -- bookkeeping

    def entry(self, target: Target) -> Entry:
        return self.find(RESOLVER, target.service) or {}

    def meet_protocol(self, service: str) -> None:
        """Every service of a chain must speak what the first one speaks."""
        spoken = protocol_of(service, self.find)
        if not self.protocol:
            self.protocol = spoken
        elif self.protocol != spoken:
            raise refused(
                f'discovery chain "{self.service}" uses inconsistent protocols; service "{service}" has "{spoken}" '
                f'which is not "{self.protocol}"'
            )

    def add(self, kind: str, name: str, body: dict[str, Any]) -> str:
        key = f"{kind}:{name}"
        self.nodes[key] = {"Type": kind, "Name": name, **body}
        return key


_CUSTOM = ("DefaultSubset", "Subsets", "Redirect", "Failover", "ConnectTimeout")


def protocol_of(service: str, find: Find) -> str:
    """What a service speaks: its own defaults, else the proxy-defaults, else tcp."""
    own = find(DEFAULTS, service)
    if own is not None:
        return own.get("Protocol") or "tcp"
    everywhere = find(PROXY, "global") or {}
    config = everywhere.get("Config")
    return str((config or {}).get("protocol") or "tcp").lower() if isinstance(config, dict | None) else "tcp"


def _rewritten(target: Target, to: Mapping[str, Any], datacenter: str) -> Target:
    service, subset = target.service, target.subset
    if to.get("Service") and to["Service"] != service:
        service, subset = to["Service"], ""  # a subset of another service is another subset
    return Target(
        service,
        datacenter or target.datacenter,
        to.get("ServiceSubset") or subset,
        to.get("Namespace") or target.namespace,
    )


def compile_chain(service: str, place: Place, find: Find, overrides: Overrides | None = None) -> dict[str, Any]:
    """The chain of a service as Consul writes it under "Chain"; a fault where the graph is not valid."""
    overrides = overrides or Overrides()
    compiler = _Compiler(service, place, find, overrides)
    start = compiler.start()
    _refuse_circles(start, compiler.nodes)
    _flatten(compiler.nodes)
    nodes = _reachable(start, compiler.nodes)
    if compiler.advanced and compiler.protocol not in HTTP_LIKE:
        raise refused(
            f'discovery chain "{service}" uses a protocol "{compiler.protocol}" that does not permit advanced routing '
            "or splitting behavior"
        )
    return _document(compiler, start, nodes)


def _document(compiler: _Compiler, start: str, nodes: dict[str, Any]) -> dict[str, Any]:
    protocol = compiler.protocol
    if compiler.overrides.protocol and compiler.overrides.protocol != protocol:
        protocol = compiler.customized["protocol"] = compiler.overrides.protocol
    custom = {"CustomizationHash": digest(compiler.customized)} if compiler.customized else {}
    return {
        "ServiceName": compiler.service,
        "Namespace": NAMESPACE,
        "Datacenter": compiler.place.datacenter,
        **custom,
        "Protocol": protocol,
        "StartNode": start,
        "Nodes": {key: _shown(nodes[key]) for key in sorted(nodes)},
        "Targets": {key: compiler.targets[key] for key in sorted(compiler.targets)},
    }


def _next(node: Mapping[str, Any]) -> list[str]:
    return [edge["NextNode"] for edge in node.get("Routes") or node.get("Splits") or ()]


def _refuse_circles(start: str, nodes: Mapping[str, Mapping[str, Any]]) -> None:
    trail: list[str] = []

    def visit(key: str) -> None:
        trail.append(key)
        if trail.count(key) > 1:
            raise refused(f"detected circular reference: [{' -> '.join(trail)}]")
        for following in reversed(_next(nodes[key])):
            visit(following)
        trail.pop()

    visit(start)


def _flatten(nodes: Mapping[str, dict[str, Any]]) -> None:
    """Replace each split into another splitter by that splitter's splits, scaled."""
    changed = True
    while changed:
        changed = False
        for node in nodes.values():
            if node["Type"] != "splitter":
                continue
            flat: list[dict[str, Any]] = []
            for split in node["Splits"]:
                inner = nodes[split["NextNode"]]
                if inner["Type"] != "splitter":
                    flat.append(split)
                    continue
                changed = True
                flat.extend(
                    {"Weight": weight(split["Weight"] * part["Weight"] / 100), "NextNode": part["NextNode"]}
                    for part in inner["Splits"]
                )
            node["Splits"] = flat


def _shown(node: dict[str, Any]) -> dict[str, Any]:
    """The node as Consul writes it: without weights of nothing."""
    if node["Type"] != "splitter":
        return node
    return {**node, "Splits": [{key: value for key, value in split.items() if value} for split in node["Splits"]]}


def _reachable(start: str, nodes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    todo = [start]
    while todo:
        key = todo.pop()
        if key not in found:
            found[key] = nodes[key]
            todo.extend(_next(nodes[key]))
    return found
