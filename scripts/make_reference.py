"""The pages of reference that are made from the code while the site is built (a script of mkdocs-gen-files)."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import mkdocs_gen_files

import meshwright
from meshwright.cli import cli
from meshwright.controlplane.model.policy import POLICY_SCHEMA
from meshwright.local.topology.parsing import TOPOLOGY_SCHEMA
from meshwright.rollout.api.schema import SPEC

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "meshwright": "src/meshwright",
    "services": "services",
    "meshwright_operator": "operator/meshwright_operator",
}
MODULES = (
    "meshwright.errors",
    "meshwright.config",
    "meshwright.auth.guard",
    "meshwright.auth.verifier",
    "meshwright.auth.keys",
    "meshwright.auth.identity",
    "meshwright.client.mesh_channel",
    "meshwright.calls.errors",
    "meshwright.pages",
    "meshwright.sync",
    "meshwright.testing",
)
"""What is public besides the facade."""
METRICS = {"Counter", "Gauge", "Histogram", "Info", "Summary"}


def page(name: str, lines: Iterator[str]) -> None:
    """Write `reference/<name>.md`."""
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as file:
        file.write("\n".join(lines) + "\n")


def cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def api() -> Iterator[str]:
    """The facade, each name where it is defined, and the module for tests."""
    yield "# Python\n\nEverything below is imported from `meshwright`, unless its heading says otherwise."
    homes: dict[str, str] = {name: home for home, names in meshwright._HOMES.items() for name in names}  # noqa: SLF001
    for name in meshwright.__all__:
        if name in homes:
            yield f"\n## `{name}`\n\n::: {defined(homes[name], name)}\n    options:\n      show_root_heading: false\n"
    for module in MODULES:
        yield f"\n## `{module}`\n\n::: {module}\n    options:\n      show_root_heading: false\n"


def defined(home: str, name: str) -> str:
    value = getattr(importlib.import_module(home), name)
    return f"{getattr(value, '__module__', home)}.{name}"


def command_line() -> Iterator[str]:
    yield "# Command line\n\nExit codes: 0 done, 1 could not be done, 2 asked wrongly, 130 interrupted."
    context = click.Context(cli, info_name="meshwright")
    yield from command(cli, context, 1)


def command(one: click.Command, context: click.Context, level: int) -> Iterator[str]:
    if level > 1:
        yield f"\n{'#' * min(level, 4)} `{context.command_path}`\n"
        yield f"```\n{one.get_usage(context)}\n```\n"
        yield from (line.strip() for line in (one.help or "").replace("\b", "").splitlines())
        rows = [record for each in one.get_params(context) if (record := each.get_help_record(context))]
        if rows:
            yield "\n| option | |\n| --- | --- |"
            yield from (f"| `{names}` | {cell(text)} |" for names, text in rows)
    if isinstance(one, click.Group):
        for name in one.list_commands(context):
            inner = one.get_command(context, name)
            if inner is not None:
                yield from command(inner, click.Context(inner, info_name=name, parent=context), level + 1)


def environment() -> Iterator[str]:
    yield "# Environment variables\n"
    yield "Each process reads its variables once, when it starts. An empty variable counts as unset. A value that does"
    yield "not parse is refused with its name. The variables of Consul's, OpenTelemetry's and gRPC's own tools mean"
    yield "here what they mean there."
    for package in PACKAGES:
        for kind in configurations(package):
            yield f"\n## {kind.__module__}.{kind.__name__}\n\n{kind.__doc__ or ''}\n"
            yield "| variable | type | default | |\n| --- | --- | --- | --- |"
            for item in dataclasses.fields(kind):
                if "variable" in item.metadata:
                    default = (
                        "required"
                        if item.default is dataclasses.MISSING
                        else f"`{json.dumps(item.default, default=str)}`"
                    )
                    row = (
                        f"`{item.metadata['variable']}`",
                        cell(item.type),
                        cell(default),
                        cell(item.metadata["help"]),
                    )
                    yield f"| {' | '.join(row)} |"


def configurations(package: str) -> Iterator[type]:
    seen: set[type] = set()
    root = importlib.import_module(package)
    names = [package, *(info.name for info in pkgutil.walk_packages(root.__path__, f"{package}."))]
    for name in names:
        if name.endswith((".env", "meshwright.__main__", "cli.__main__")) or ".versions." in name:
            continue
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and value not in seen:
                is_own = value.__module__ == name
                if is_own and any("variable" in item.metadata for item in dataclasses.fields(value)):
                    seen.add(value)
                    yield value


def schema(title: str, text: str, document: Mapping[str, Any]) -> Iterator[str]:
    """A JSON schema as a table of paths."""
    yield f"# {title}\n\n{text}\n\n| path | type | |\n| --- | --- | --- |"
    yield from properties(document, "")


def properties(document: Mapping[str, Any], path: str) -> Iterator[str]:
    required = set(document.get("required", ()))
    named = [(key, value, key in required) for key, value in document.get("properties", {}).items()]
    for pattern, value in document.get("patternProperties", {}).items():
        named.append((f"<{value.get('title', 'name')}>" if pattern else "<name>", value, False))
    more = document.get("additionalProperties")
    if isinstance(more, Mapping):
        named.append(("<name>", more, False))
    for key, value, is_required in named:
        here = f"{path}.{key}" if path else key
        yield f"| `{here}` | {cell(kind(value))}{', required' if is_required else ''} | {cell(meaning(value))} |"
        yield from properties(value, here)
        items = value.get("items")
        if isinstance(items, Mapping):
            yield from properties(items, f"{here}[]")


def kind(value: Mapping[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    found = value.get("type", "")
    return " or ".join(found) if isinstance(found, list) else str(found)


def meaning(value: Mapping[str, Any]) -> str:
    bounds = [f"{word} {value[key]}" for key, word in LIMITS.items() if key in value]
    default = [f"default {json.dumps(value['default'])}"] if "default" in value else []
    return "; ".join(filter(None, [value.get("description", ""), *bounds, *default]))


LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "minLength": "characters at least",
    "maxLength": "characters at most",
    "minItems": "items at least",
    "maxItems": "items at most",
}


def metrics() -> Iterator[str]:
    yield "# Metrics\n"
    yield "Every process serves them at `/metrics`, in the text format of Prometheus. Counters end in `_total` there,"
    yield "histograms in `_bucket`, `_sum` and `_count`."
    for package, folder in PACKAGES.items():
        rows = sorted({row for file in (ROOT / folder).rglob("*.py") for row in measured(file)})
        if rows:
            yield f"\n## {package}\n\n| metric | type | labels | |\n| --- | --- | --- | --- |"
            yield from (f"| `{name}` | {kind} | {labels} | {cell(text)} |" for name, kind, labels, text in rows)


def measured(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """The metrics that a module makes with names that stand in it."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in METRICS
            and len(node.args) > 1
        ):
            name, text, *rest = node.args
            if isinstance(name, ast.Constant) and isinstance(text, ast.Constant):
                lists = [each for each in rest[:1] if isinstance(each, ast.List | ast.Tuple)]
                labels = [label(each) for each in lists[0].elts] if lists else []
                yield name.value, node.func.id.lower(), ", ".join(labels), text.value


def label(node: ast.expr) -> str:
    """A label's name; of labels that several metrics share, the name of their list."""
    return f"`{node.value}`" if isinstance(node, ast.Constant) else f"those of `{ast.unparse(node).lstrip('*')}`"


def main() -> None:
    page("api", api())
    page("cli", command_line())
    page("environment", environment())
    page("topology", schema("Topology file", "What `meshwright up` runs, as TOML.", TOPOLOGY_SCHEMA))
    text = (
        "One JSON document for each service, in Consul's KV under `meshwright/policy/<service>`. "
        "[Policy](policy.md) tells what it is for."
    )
    page("policy-schema", schema("Policy, the schema", text, POLICY_SCHEMA))
    text = (
        "`spec` of the custom resource `VersionedRollout` (`meshwright.dev/v1alpha1`), on a laptop and on Kubernetes. "
        "[Rollouts](rollouts.md) tells what it is for."
    )
    page("rollout-schema", schema("VersionedRollout, the schema", text, SPEC))
    page("metrics", metrics())


main()
