"""Consul's JSON to our values, as pure functions.

The health of an instance is the worst of its checks, those of its node included. Maintenance is a critical check
under a reserved id (`_node_maintenance`, `_service_maintenance:<id>`) and counts as worse than critical: an operator
took the instance out on purpose.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from meshwright.consul.values import AgentService, CheckState, KvPair
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"

_SEVERITY = {health: rank for rank, health in enumerate(Health)}
_STATUS = {"passing": Health.PASSING, "warning": Health.WARNING, "critical": Health.CRITICAL}


def check_health(check: Mapping[str, Any]) -> Health:
    """The state that one check stands for. A status that we do not know counts as critical."""
    check_id = str(check["CheckID"])
    if check_id == NODE_MAINTENANCE or check_id.startswith(SERVICE_MAINTENANCE):
        return Health.MAINTENANCE
    return _STATUS.get(str(check["Status"]), Health.CRITICAL)


def worst(states: Iterable[Health]) -> Health:
    """The state of an instance with checks in those states; no check at all is passing, as in Consul."""
    return max(states, key=_SEVERITY.__getitem__, default=Health.PASSING)


def instance(entry: Mapping[str, Any]) -> Instance:
    """One entry of `/v1/health/service/<name>`."""
    service, node = entry["Service"], entry["Node"]
    health = worst(check_health(check) for check in entry["Checks"] or ())
    weights = service.get("Weights") or {}
    return Instance(
        id=InstanceId(service["ID"]),
        service=ServiceName(service["Service"]),
        address=Address(service["Address"] or node["Address"], service["Port"]),
        health=health,
        tags=tuple(service["Tags"] or ()),
        meta={**_place(service, node), **(service.get("Meta") or {})},
        node=node["Node"],
        weight=int(weights.get("Warning" if health is Health.WARNING else "Passing", 1)),
    )


def _place(service: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, str]:
    """Region and zone as newer Consuls have them (`Locality`, since 1.16): what an instance's own meta says wins."""
    locality = service.get("Locality") or node.get("Locality") or {}
    found = {"region": locality.get("Region"), "zone": locality.get("Zone")}
    return {name: str(value) for name, value in found.items() if value}


def instances(entries: Iterable[Mapping[str, Any]]) -> tuple[Instance, ...]:
    """The entries in an order that does not depend on Consul's."""
    return tuple(sorted(map(instance, entries), key=lambda item: (item.id, item.node)))


def check_states(checks: Iterable[Mapping[str, Any]]) -> tuple[CheckState, ...]:
    """The answer of `/v1/health/state/<state>`, in a fixed order."""
    states = (
        CheckState(
            node=check["Node"],
            check_id=check["CheckID"],
            service=ServiceName(check["ServiceName"]),
            instance=InstanceId(check["ServiceID"]),
            health=check_health(check),
            modify_index=int(check.get("ModifyIndex", 0)),
        )
        for check in checks
    )
    return tuple(sorted(states, key=lambda state: (state.service, state.instance, state.node, state.check_id)))


def services(names: Mapping[str, Iterable[str] | None]) -> dict[ServiceName, tuple[str, ...]]:
    """The answer of `/v1/catalog/services`, in a fixed order."""
    return {ServiceName(name): tuple(sorted(names[name] or ())) for name in sorted(names)}


def agent_service(entry: Mapping[str, Any]) -> AgentService:
    """One entry of `/v1/agent/services`, or the answer of `/v1/agent/service/<id>`."""
    return AgentService(
        id=InstanceId(entry["ID"]),
        service=ServiceName(entry["Service"]),
        address=Address(entry["Address"], entry["Port"]),
        tags=tuple(entry["Tags"] or ()),
        meta=dict(entry.get("Meta") or {}),
        content_hash=entry.get("ContentHash", ""),
    )


def agent_services(entries: Mapping[str, Any]) -> dict[InstanceId, AgentService]:
    """The answer of `/v1/agent/services`."""
    return {InstanceId(key): agent_service(entry) for key, entry in sorted(entries.items())}


def kv_pair(entry: Mapping[str, Any]) -> KvPair:
    """One entry of `/v1/kv/<key>`."""
    return KvPair(
        key=entry["Key"],
        value=base64.b64decode(entry["Value"] or ""),
        modify_index=entry["ModifyIndex"],
        create_index=entry["CreateIndex"],
        flags=entry["Flags"],
    )


def kv_pairs(entries: Iterable[Mapping[str, Any]]) -> tuple[KvPair, ...]:
    """The answer of `/v1/kv/<prefix>?recurse`, which Consul sorts; one pair without `recurse`."""
    return tuple(map(kv_pair, entries))
