"""`meshwright get`: all that the mesh knows of one service."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from meshwright.cli import output
from meshwright.cli.options import json_option, topology_option
from meshwright.local.mesh import endpoints, faults
from meshwright.name_suggestions import NoSuchNameError, no_such_service

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"passing": "green", "warning": "yellow", "critical": "red", "maintenance": "yellow"}


@click.command()
@click.argument("service")
@topology_option
@json_option
def get(service: str, topology: str, as_json: bool) -> None:
    """Show a service: its instances and their health, its versions, how calls are routed, its policy, its problems.

    Routes and policy are those in force, by the control plane; what Consul has may have been refused, or just be lost.
    """
    mesh = endpoints.locate(topology)
    found = asyncio.run(_gather(service, mesh))
    if as_json:
        output.as_json(found)
    else:
        _print(output.console(), found)


async def _gather(service: str, mesh: endpoints.MeshEndpoints) -> dict[str, Any]:
    in_force = endpoints.effective_config(mesh, service)
    async with endpoints.open_consul(mesh) as consul:
        instances = (await consul.instances(service)).value
        chain = (await consul.discovery_chain(service)).value
        written = await faults.text(consul, service)
        known = in_force is not None and in_force["known"]
        if not instances and written is None and not known and _is_default(chain):
            raise NoSuchNameError(no_such_service(service, await endpoints.service_names(consul)))
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
        **_rules(in_force, chain, written),
    }


def _rules(in_force: dict[str, Any] | None, chain: dict[str, Any], written: str | None) -> dict[str, Any]:
    """The rules in force; without a word of the control plane, those that Consul has."""
    if in_force is None:
        return {"in_force": False, "chain": chain, "policy": _document(written), "problems": None}
    refused = [f"{nack['node']} refused a {nack['type']}: {nack['message']}" for nack in in_force["refused"]]
    held = [f"Consul has lost it, its last good state is kept: {in_force['held']}"] if in_force["held"] else []
    return {
        "in_force": True,
        "chain": in_force["chain"] if in_force["known"] else chain,
        "policy": in_force["policy"],
        "refused_policy": _document(written) if in_force["policy_refused"] else None,
        "problems": [f"{one['where']}: {one['what']}" for one in in_force["problems"]] + refused + held,
    }


def _document(written: str | None) -> Any:
    """The policy document, or its text where it is not JSON."""
    try:
        return None if written is None else json.loads(written)
    except ValueError:
        return written


def _is_default(chain: dict[str, Any]) -> bool:
    """Whether the service has no config entry: Consul compiles a chain for any name."""
    nodes = list((chain.get("Nodes") or {}).values())
    return len(nodes) == 1 and bool((nodes[0].get("Resolver") or {}).get("Default"))


def _print(console: Console, found: dict[str, Any]) -> None:
    from rich.text import Text  # noqa: PLC0415

    versions = ", ".join(f"{count} of {version or 'no version'}" for version, count in found["versions"].items())
    console.print(Text.assemble((found["service"], "bold"), f"  passing: {versions or 'none'}"))
    table = output.table("INSTANCE", "VERSION", "HEALTH", "ADDRESS", "TAGS")
    for row in found["instances"]:
        health = Text(row["health"], _COLOURS.get(row["health"], ""))
        table.add_row(row["instance"], row["version"], health, row["address"], " ".join(row["tags"]))
    console.print(table)
    unsure = "" if found["in_force"] else ", as Consul has them: the control plane does not say what is in force"
    console.print(f"\nRoutes{unsure}", style="bold")
    for line in routes(found["chain"]):
        console.print(f"  {line}")
    console.print("\nPolicy", style="bold")
    console.print(_indented(found["policy"]) if found["policy"] else "  none: the defaults apply")
    if found.get("refused_policy") is not None:
        console.print("\nRefused, and not in force (see the problems)", style="bold red")
        console.print(_indented(found["refused_policy"]))
    console.print("\nProblems", style="bold")
    if found["problems"] is None:
        console.print("  not known: the control plane's pages do not answer")
    for problem in found["problems"] or (["none"] if found["problems"] is not None else []):
        console.print(f"  {problem}")


def _indented(document: Any) -> str:
    text = document if isinstance(document, str) else json.dumps(document, indent=2)
    return "\n".join(f"  {line}" for line in text.splitlines())


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
