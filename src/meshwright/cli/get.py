"""`meshwright get`: all that the mesh knows of one service."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from meshwright.cli import output
from meshwright.cli.options import json_option, topology_option
from meshwright.consul import Consul
from meshwright.errors import BadInputError, Problem
from meshwright.local import faults, mesh

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"passing": "green", "warning": "yellow", "critical": "red", "maintenance": "yellow"}


@click.command()
@click.argument("service")
@topology_option
@json_option
def get(service: str, topology: str, as_json: bool) -> None:
    """Show a service: its instances and their health, its versions, how calls are routed, its policy, its problems."""
    where = mesh.locate(topology)
    found = asyncio.run(_gather(service, where))
    told = mesh.problems(where)
    found["problems"] = None if told is None else _of(service, told)
    if as_json:
        output.as_json(found)
    else:
        _print(output.console(), found)


async def _gather(service: str, where: mesh.Whereabouts) -> dict[str, Any]:
    async with Consul(where.consul) as consul:
        instances = (await consul.instances(service)).value
        chain = (await consul.discovery_chain(service)).value
        policy = await faults.document(consul, service)
        if not instances and policy is None and _is_default(chain):
            known = sorted((await consul.services()).value)
            near = difflib.get_close_matches(service, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}"
            raise BadInputError(consul.address, [Problem(service, f"no such service; {hint}")])
    rows = [
        {
            "instance": instance.id,
            "version": instance.version,
            "health": instance.health.value,
            "address": str(instance.address),
            "meta": dict(instance.meta),
            "tags": list(instance.tags),
        }
        for instance in sorted(instances, key=lambda instance: instance.id)
    ]
    versions = Counter(row["version"] for row in rows if row["health"] == "passing")
    return {
        "service": service,
        "versions": dict(sorted(versions.items())),
        "instances": rows,
        "chain": chain,
        "policy": policy,
    }


def _is_default(chain: dict[str, Any]) -> bool:
    """Whether nobody has written a config entry for the service: Consul compiles a chain for any name."""
    nodes = list((chain.get("Nodes") or {}).values())
    return len(nodes) == 1 and bool((nodes[0].get("Resolver") or {}).get("Default"))


def _of(service: str, told: dict[str, Any]) -> list[str]:
    """What the control plane says against this service."""
    problems = [f"{problem['where']}: {problem['what']}" for problem in told.get("problems", ())]
    refused = [f"{nack['node']} refused a {nack['type']}: {nack['message']}" for nack in told.get("refused", ())]
    mine = [text for text in (*problems, *refused) if service in text]
    held = told.get("held", {})
    if service in held.get("services", ()):
        mine.append(f"kept at its last good state: {held.get('reason', '')}")
    return mine


def _print(console: Console, found: dict[str, Any]) -> None:
    from rich.text import Text  # noqa: PLC0415

    versions = ", ".join(f"{count} of {version or 'no version'}" for version, count in found["versions"].items())
    console.print(Text.assemble((found["service"], "bold"), f"  passing: {versions or 'none'}"))
    table = output.table("INSTANCE", "VERSION", "HEALTH", "ADDRESS", "TAGS")
    for row in found["instances"]:
        health = Text(row["health"], _COLOURS.get(row["health"], ""))
        table.add_row(row["instance"], row["version"], health, row["address"], " ".join(row["tags"]))
    console.print(table)
    console.print("\nRoutes", style="bold")
    for line in routes(found["chain"]):
        console.print(f"  {line}")
    console.print("\nPolicy", style="bold")
    policy = json.dumps(found["policy"], indent=2) if found["policy"] else "none: the defaults apply"
    console.print("\n".join(f"  {line}" for line in policy.splitlines()))
    console.print("\nProblems", style="bold")
    if found["problems"] is None:
        console.print("  not known: the control plane's pages do not answer")
    for problem in found["problems"] or (["none"] if found["problems"] is not None else []):
        console.print(f"  {problem}")


def routes(chain: dict[str, Any]) -> list[str]:
    """The compiled discovery chain as an indented tree."""
    nodes = chain.get("Nodes") or {}
    lines: list[str] = []

    def walk(name: str, depth: int, seen: tuple[str, ...]) -> None:
        node = nodes.get(name)
        indent = "  " * depth
        if node is None or name in seen:
            lines.append(f"{indent}{name}")
            return
        deeper = (*seen, name)
        if node["Type"] == "router":
            for route in node.get("Routes") or ():
                match = (route.get("Definition") or {}).get("Match") or {}
                lines.append(f"{indent}when {json.dumps(match.get('HTTP') or 'anything')}")
                walk(route["NextNode"], depth + 1, deeper)
        elif node["Type"] == "splitter":
            for split in node.get("Splits") or ():
                lines.append(f"{indent}{split['Weight']:g} %")
                walk(split["NextNode"], depth + 1, deeper)
        else:
            resolver = node.get("Resolver") or {}
            others = (resolver.get("Failover") or {}).get("Targets") or ()
            otherwise = f", else {', '.join(others)}" if others else ""
            lines.append(f"{indent}to {resolver.get('Target', name)}{otherwise}")

    walk(chain.get("StartNode") or "", 0, ())
    return lines
