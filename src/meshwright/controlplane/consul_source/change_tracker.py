"""What the watches on Consul last said, and which services a new answer concerns. Pure.

Consul closes connections past about two hundred for each client address, so there is no blocking query for each
service. A handful of queries over everything wake us; comparing their answers with the last ones tells which services'
instances, and which chains, must be read again. A config entry concerns every chain that can reach its service through
the references of routers, splitters and resolvers, as they were before the change and as they are after it.

Consul compares names ignoring case, and lists each spelling that it was given: here they are one name, in lower case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.model import InstanceId, ServiceName, folded, path_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.consul import CheckState

PROXY_DEFAULTS = "proxy-defaults"
SERVICE_DEFAULTS = "service-defaults"
NAMING_KINDS = ("service-resolver", "service-splitter", "service-router")
"""Kinds whose entries make a name that clients can dial, even where no instance has it."""
KINDS = (PROXY_DEFAULTS, SERVICE_DEFAULTS, *NAMING_KINDS)
CONSUL_ITSELF = ServiceName("consul")

Entry = dict[str, Any]
Graph = dict[str, frozenset[str]]


class ChangeTracker:
    """The last answers."""

    def __init__(self) -> None:
        self.services: Mapping[ServiceName, tuple[str, ...]] = {}
        self.entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._checks: dict[tuple[str, InstanceId, str], CheckState] = {}

    @property
    def names(self) -> frozenset[ServiceName]:
        """Every service name that clients may dial."""
        return frozenset(name for name in self._names if not path_problem(name))

    @property
    def unusable(self) -> tuple[tuple[ServiceName, str], ...]:
        """Names that Consul holds and cannot be asked for, each with the reason."""
        return tuple((name, why) for name in sorted(self._names) if (why := path_problem(name)))

    @property
    def _names(self) -> frozenset[ServiceName]:
        virtual = {ServiceName(name) for kind in NAMING_KINDS for name in self.entries[kind]}
        return frozenset((virtual | self.services.keys()) - {CONSUL_ITSELF})

    @property
    def checked(self) -> frozenset[tuple[str, InstanceId]]:
        """Node and id of each instance that has a check."""
        return frozenset((node, instance) for node, instance, _ in self._checks if instance)

    @property
    def unreadable(self) -> str:
        """What the token may not read, as a problem; empty where what was seen can be true.

        Consul filters lists by the token's rights, in silence. A list that a Consul never has empty gives it away: its
        servers have a check each, and are a service of their own.
        """
        if not self._checks:
            return "Consul shows no node and no check, not even its own: does the token have node:read?"
        if not self.services:
            return "Consul shows no service, not even its own (consul): does the token have service:read?"
        return ""

    def see_checks(self, states: Iterable[CheckState]) -> frozenset[ServiceName]:
        """Take in all checks; returns the services whose instances may differ now."""
        now = {(*checked_key(state.node, state.instance), folded(state.check_id)): state for state in states}
        before, self._checks = self._checks, now
        changed = [state for key, state in now.items() if before.get(key) != state]
        changed += [state for key, state in before.items() if key not in now]
        nodes = {folded(state.node) for state in changed if not state.service}
        touched = {state.service for state in changed if state.service}
        touched.update(state.service for state in now.values() if state.service and folded(state.node) in nodes)
        return frozenset(ServiceName(folded(service)) for service in touched)

    def see_services(self, services: Mapping[ServiceName, tuple[str, ...]]) -> frozenset[ServiceName]:
        """Take in the list of services; returns those that came, went, or have other tags."""
        spelled: dict[ServiceName, set[str]] = {}
        for name, tags in services.items():
            spelled.setdefault(ServiceName(folded(name)), set()).update(tags)
        services = {name: tuple(sorted(tags)) for name, tags in spelled.items()}
        before, self.services = self.services, services
        return frozenset(name for name in before.keys() | services.keys() if before.get(name) != services.get(name))

    def see_entries(self, kind: str, entries: Iterable[Entry]) -> frozenset[ServiceName]:
        """Take in all config entries of a kind; returns the names whose chains may differ now."""
        old_graph = self._graph()
        before, now = self.entries[kind], {folded(str(entry["Name"])): entry for entry in entries}
        self.entries[kind] = now
        changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        if not changed:
            return frozenset()
        if kind == PROXY_DEFAULTS:
            return self.names
        return frozenset(ServiceName(name) for name in reaching(changed, old_graph, self._graph()))

    def _graph(self) -> Graph:
        graph: dict[str, set[str]] = {}
        for kind in NAMING_KINDS:
            for name, entry in self.entries[kind].items():
                graph.setdefault(name, set()).update(references(kind, entry))
        return {name: frozenset(found) for name, found in graph.items()}


def checked_key(node: str, instance: str) -> tuple[str, InstanceId]:
    """How an instance is found in `ChangeTracker.checked`."""
    return folded(node), InstanceId(folded(instance))


def references(kind: str, entry: Mapping[str, Any]) -> frozenset[str]:
    """The services that a config entry sends traffic to, its own name left out."""
    found: set[str | None] = set()
    if kind == "service-router":
        found.update((route.get("Destination") or {}).get("Service") for route in entry.get("Routes") or ())
    elif kind == "service-splitter":
        found.update(split.get("Service") for split in entry.get("Splits") or ())
    else:
        found.add((entry.get("Redirect") or {}).get("Service"))
        for failover in (entry.get("Failover") or {}).values():
            found.update({failover.get("Service"), *(each.get("Service") for each in failover.get("Targets") or ())})
    return frozenset(folded(name) for name in found if name)


def reaching(changed: Iterable[str], *graphs: Graph) -> frozenset[str]:
    """The names from which one of `changed` can be reached, `changed` included."""
    found = set(changed)
    while True:
        more = {name for graph in graphs for name, leads in graph.items() if name not in found and leads & found}
        if not more:
            return frozenset(found)
        found |= more
