"""The catalog: nodes, services and checks, each touching no more topics than it must.

Which topics a write touches follows Consul's state store, its oddities included, since readers count on them:

* A service's own topic moves when one of its instances, their node, or a check that counts for them changes (a node's
  check counts for every service on that node). A service or node that is written as it is there already moves nothing.
* A check that is written always moves the table of checks, even where nothing about it changed: an instance that
  registers again, checks and all, wakes readers of `/v1/health/state/any`, but not those of its service.
* A service that goes moves the table of checks though it had none, and a node's check that goes that of services.
* When the last instance of a service goes, its topic is forgotten with it and its readers are told by "extinction".
  A new name under an old id is no extinction: readers of the old name learn of it when their wait ends.
* Names of nodes and services, and ids, are compared ignoring case and shown as they were last written.
* `/v1/catalog/service` shows the index of the service's own topic but wakes for instances and nodes alone, not for
  checks; `/v1/health/checks` shows that of all checks and wakes for those that bear the service's name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from meshwright.dev.consul.catalog.models import Check, Node, Service
from meshwright.dev.consul.http_errors import refused
from meshwright.model import folded

if TYPE_CHECKING:
    from meshwright.dev.consul.catalog.store import Store

Row = TypeVar("Row", Node, Service, Check)
Key = tuple[str, str]

NODES, SERVICES, CHECKS, EXTINCTION = "nodes", "services", "checks", "extinction"


def service_topic(name: str) -> str:
    """The topic that moves with everything that `/v1/health/service/<name>` shows."""
    return f"service/{folded(name)}"


def instances_topic(name: str) -> str:
    """Who waits for the instances of a service, whatever their health."""
    return f"instances/{folded(name)}"


def checks_topic(name: str) -> str:
    """Who waits for the checks that bear the name of a service."""
    return f"checks/{folded(name)}"


def key_of(node: str, item: str) -> Key:
    """The key of a service's instance or of a check on a node."""
    return folded(node), folded(item)


class Catalog:
    """What `/v1/catalog` and `/v1/health` read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.nodes: dict[str, Node] = {}
        self.services: dict[Key, Service] = {}
        self.checks: dict[Key, Check] = {}
        self._by_name: dict[str, set[Key]] = {}
        self._checks_on: dict[Key, set[str]] = {}  # (node, service id or "") -> check ids

    # -- writes: each belongs to the write that the caller began with store.next()

    def put_node(self, node: Node) -> None:
        """Add or change a node."""
        found = self.node(node.name)
        if _same(found, node):
            return
        self.nodes[folded(node.name)] = _stamp(found, node, self.store.index)
        names = self._names_on(node.name)
        self.store.touch(NODES, *map(service_topic, names))
        self.store.wake(*map(instances_topic, names))

    def put_service(self, service: Service) -> None:
        """Add or change an instance of a service."""
        if self.node(service.node) is None:
            raise refused("Missing node registration")
        key = key_of(service.node, service.id)
        found = self.services.get(key)
        if _same(found, service):
            return
        if found is not None and folded(found.name) != folded(service.name):
            self._forget_name(found)
            self.store.wake(instances_topic(found.name))
        self.services[key] = _stamp(found, service, self.store.index)
        self._by_name.setdefault(folded(service.name), set()).add(key)
        self.store.touch(SERVICES, service_topic(service.name))
        self.store.wake(instances_topic(service.name))

    def put_check(self, check: Check) -> None:
        """Add or change a check; it takes name and tags of its service from the service."""
        if self.node(check.node) is None:
            raise refused("Missing node registration")
        if check.service_id:
            service = self.services.get(key_of(check.node, check.service_id))
            if service is None:
                raise refused(f'failed inserting check: Missing service registration on node "{check.node}"')
            check = replace(check, service_name=service.name, service_tags=service.tags)
        found = self.check(check.node, check.id)
        is_news = found is None or not _same(replace(found, type=check.type), check)
        if found is not None:
            self._drop_check(found)
        index = self.store.index if is_news or found is None else found.modify_index
        self.checks[key_of(check.node, check.id)] = _stamp(found, check, index)
        self._checks_on.setdefault(key_of(check.node, check.service_id), set()).add(folded(check.id))
        self.store.touch(CHECKS)
        self.store.wake(checks_topic(check.service_name))
        if is_news:
            self._touch_services(check)

    def delete_node(self, name: str) -> None:
        """Remove a node with all that is on it."""
        name = folded(name)
        if name not in self.nodes:
            return
        for key in [key for key in self.services if key[0] == name]:
            self.delete_service(*key)
        for key in [key for key in self.checks if key[0] == name]:
            self.delete_check(*key)
        del self.nodes[name]
        self.store.touch(NODES)

    def delete_service(self, node: str, service_id: str) -> None:
        """Remove an instance with its checks."""
        key = key_of(node, service_id)
        service = self.services.get(key)
        if service is None:
            return
        for check_id in tuple(self._checks_on.get(key, ())):
            self._drop_check(self.checks[key_of(node, check_id)])
        self.store.move(CHECKS)
        del self.services[key]
        self.store.touch(SERVICES, service_topic(service.name))
        self.store.wake(instances_topic(service.name))
        if self._forget_name(service):
            self.store.touch(EXTINCTION)

    def delete_check(self, node: str, check_id: str) -> None:
        """Remove one check."""
        check = self.check(node, check_id)
        if check is not None:
            self._drop_check(check)
            self._touch_services(check)
            if not check.service_id:
                self.store.move(SERVICES)

    # -- reads

    def node(self, name: str) -> Node | None:
        """A node."""
        return self.nodes.get(folded(name))

    def check(self, node: str, check_id: str) -> Check | None:
        """A check on a node."""
        return self.checks.get(key_of(node, check_id))

    def instances(self, name: str) -> list[Service]:
        """The instances of a service, in a stable order."""
        return [self.services[key] for key in sorted(self._by_name.get(folded(name), ()))]

    def instances_on(self, node: str) -> list[Service]:
        """The instances on a node, by id."""
        return [service for (owner, _), service in sorted(self.services.items()) if owner == folded(node)]

    def checks_for(self, service: Service) -> list[Check]:
        """The checks that count for an instance: first the node's, then its own."""
        owners = (key_of(service.node, ""), key_of(service.node, service.id))
        ids = (check_id for owner in owners for check_id in sorted(self._checks_on.get(owner, ())))
        return [self.checks[key_of(service.node, check_id)] for check_id in ids]

    def service_index(self, name: str, *, checks: bool = True) -> int:
        """What `X-Consul-Index` says about a service, whether it exists or not; `checks`: they were read as well."""
        if folded(name) in self._by_name:
            return self.store.last(service_topic(name))
        if self.store.has(EXTINCTION):
            return self.store.last(EXTINCTION)
        return self.store.last(NODES, SERVICES, *([CHECKS] if checks else []))

    # -- bookkeeping

    def _names_on(self, node: str) -> set[str]:
        return {folded(service.name) for service in self.instances_on(node)}

    def _touch_services(self, check: Check) -> None:
        """The health of those services changed for which a check counts: Consul goes by the name in the check."""
        named = {folded(check.service_name)} & self._by_name.keys()
        names = named if check.service_id else self._names_on(check.node)
        self.store.touch(*map(service_topic, names))

    def _drop_check(self, check: Check) -> None:
        del self.checks[key_of(check.node, check.id)]
        owner = key_of(check.node, check.service_id)
        self._checks_on[owner].discard(folded(check.id))
        if not self._checks_on[owner]:
            del self._checks_on[owner]
        self.store.touch(CHECKS)
        self.store.wake(checks_topic(check.service_name))

    def _forget_name(self, service: Service) -> bool:
        """An instance bears this name no more; whether it was the last."""
        keys = self._by_name[folded(service.name)]
        keys.discard(key_of(service.node, service.id))
        if keys:
            return False
        del self._by_name[folded(service.name)]
        self.store.forget(service_topic(service.name))
        return True


def _same(found: Row | None, new: Row) -> bool:
    if found is None:
        return False
    return replace(new, create_index=found.create_index, modify_index=found.modify_index) == found


def _stamp(found: Row | None, new: Row, index: int) -> Row:
    created = index if found is None else found.create_index
    return replace(new, create_index=created, modify_index=index)
