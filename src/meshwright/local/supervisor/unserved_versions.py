"""Finds traffic rules to versions without instances, a cause of a failed start.

Rules outlive the processes in a Consul that keeps its state. The versions of a known rollout are started (see
`resumed_versions`); the remaining rules are those of a rollout whose files are gone, or that was deleted with
`onDelete: Leave`, and manual ones.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from meshwright.config import ConsulConfig, load_config
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshwright.local.planner.plan import Plan

_TIMEOUT = 3.0
_KINDS = {"router": "service-router", "splitter": "service-splitter", "resolver": "service-resolver"}


async def describe(plan: Plan) -> list[str]:
    """A message for each rule to a version without instances; empty where Consul does not answer."""
    if not plan.registry.address:
        return []
    try:
        async with asyncio.timeout(_TIMEOUT), Consul(load_config(ConsulConfig, plan.environment)) as consul:
            services = dict.fromkeys(process.service for process in plan.topology.processes)
            return [text for service in services for text in await _unserved(consul, plan, service)]
    except (MeshwrightError, TimeoutError):
        return []


async def _unserved(consul: Consul, plan: Plan, service: str) -> list[str]:
    chain = (await consul.discovery_chain(service)).value
    kinds = sorted({_KINDS[node["Type"]] for node in (chain.get("Nodes") or {}).values() if node["Type"] in _KINDS})
    found = []
    for target in called(chain):
        expression = (target.get("Subset") or {}).get("Filter") or ""
        if not expression or (await consul.instances(target["Service"], filter=expression, passing=True)).value:
            continue
        process = next(process.name for process in plan.topology.processes if process.service == service)
        remove = "; ".join(f"consul config delete -kind {kind} -name {service}" for kind in kinds)
        found.append(
            f"Calls to {service} go to its subset {target['ServiceSubset']} ({expression}), of which no instance is "
            f"healthy: so say the rules in the Consul at {consul.address}. Start that version (`version` in "
            f"[processes.{process}]), or delete the rules: {remove}"
        )
    return found


def called(chain: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The targets of a compiled discovery chain, without failover targets."""
    nodes, targets = chain.get("Nodes") or {}, chain.get("Targets") or {}
    seen: set[str] = set()
    waiting = [chain.get("StartNode") or ""]
    while waiting:
        name = waiting.pop()
        node = nodes.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        steps = (*(node.get("Routes") or ()), *(split for split in node.get("Splits") or () if split["Weight"] > 0))
        waiting += [step["NextNode"] for step in steps]
        resolver = node.get("Resolver") or {}
        if resolver.get("Target") in targets and not resolver.get("Failover"):
            yield targets[resolver["Target"]]
