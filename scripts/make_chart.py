"""Complete the chart's schema and its README from what is written once: python scripts/make_chart.py.

helm/meshwright/values.yaml says what there is: values, and a comment at each. helm/meshwright/values.schema.json says
of which type a switch is, by hand. The rest of the schema comes from here: descriptions are those comments; what a
component takes is in `scripts/chart/component.py`; and the names of variables are those that the code reads
(`env_field`), so that one with a letter wrong is refused too. The README's tables are the same comments. A test holds
all of it to be up to date.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scripts.chart.component import MAP, Definitions, Schema, autoscaling, closed, component, pods, resources

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm/meshwright"
VALUES, SCHEMA, README = CHART / "values.yaml", CHART / "values.schema.json", CHART / "README.md"
OURS = ("MESHWRIGHT_", "GATEWAY_")
"""Variables with these beginnings are ours alone: one that the code does not read is a mistake."""
BEGIN, END = "<!-- {}: made by scripts/make_chart.py -->", "<!-- end of {} -->"


def variables() -> list[str]:
    """Every variable that a process of ours reads: the first argument of `env_field`, and those that commands set."""
    found: set[str] = set()
    for folder in ("src", "operator", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            found |= (
                {each for each in _settings(ast.parse(text)) if each.startswith(OURS)}
                if "env_field(" in text
                else set()
            )
    return sorted(found)


def _settings(module: ast.Module) -> Iterator[str]:
    constants = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "env_field" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value
            elif isinstance(first, ast.Name) and isinstance(constants.get(first.id), str):
                yield constants[first.id]


def comments(text: str) -> dict[str, str]:
    """The comment of each value, by its path: the rest of its key's line."""
    lines = text.splitlines()
    found: dict[str, str] = {}

    def visit(node: yaml.Node, path: tuple[str, ...]) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            place = (*path, key.value)
            ends = [key.end_mark] + ([value.end_mark] if value.end_mark.line == key.end_mark.line else [])
            rest = lines[key.end_mark.line][max(mark.column for mark in ends) :]
            if match := re.match(r"^:?\s*#\s*(.*)$", rest):
                found[".".join(place)] = match[1].strip()
            visit(value, place)

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        visit(root, ())
    return found


def of_components(found: dict[str, str]) -> dict[str, str]:
    """Comments of components by key: the first that has one at a key says it for all; `defaults` says the rest."""
    by_key: dict[str, str] = {}
    for path, comment in found.items():
        top, _, key = path.partition(".")
        _, _, key = key.partition(".")
        if top == "components" and key and not key.startswith(("env.", "ports.")):
            by_key.setdefault(key, comment)
    for path, comment in found.items():
        if path.startswith("defaults."):
            by_key.setdefault(path.removeprefix("defaults."), comment)
    return by_key


def described(schema: Schema, found: dict[str, str], path: str = "") -> None:
    """Put each comment where the schema has its value."""
    for name, each in schema.get("properties", {}).items():
        place = f"{path}{name}"
        if place in found and "$ref" not in each:
            each["description"] = found[place]
        described(each, found, f"{place}.")


def schema() -> str:
    """values.schema.json, whole."""
    whole: Schema = json.loads(SCHEMA.read_text("utf-8"))
    made = "made"
    kube = Definitions()
    notes = comments(VALUES.read_text("utf-8"))
    own = json.loads(json.dumps(component(kube)))  # no part twice: each has a description of its own
    described(own, of_components(notes))
    known = {"anyOf": [{"not": {"pattern": f"^({'|'.join(OURS)})"}}, {"enum": variables()}]}
    kept = {name: each for name, each in whole.get("definitions", {}).items() if each.get("$comment") != made}
    generated: dict[str, Schema] = {"component": own, "variable": known, **kube.used}
    properties = whole["properties"]
    values: dict[str, Any] = yaml.safe_load(VALUES.read_text("utf-8"))
    properties["components"] = closed({name: {"$ref": "#/definitions/component"} for name in values["components"]})
    about = {**pods(kube), "autoscaling": autoscaling(kube), "serviceAccountAnnotations": MAP}
    properties["defaults"] = json.loads(json.dumps(closed(about)))
    hooks = {**pods(kube), "resources": resources(), "imagePullSecrets": own["properties"]["imagePullSecrets"]}
    for name in ("topologySpreadConstraints", "extraEnv", "extraEnvFrom", "extraVolumes", "extraVolumeMounts"):
        del hooks[name]
    properties["hooks"] = json.loads(json.dumps(closed(hooks)))
    described(whole, notes)
    definitions = {**kept, **{name: {"$comment": made, **each} for name, each in sorted(generated.items())}}
    whole["definitions"] = definitions
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def table(rows: list[tuple[str, ...]], head: tuple[str, ...]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def shown(value: Any) -> str:
    """A default, as it is written by hand."""
    if value in ("", None):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def leaves(value: Any, notes: dict[str, str], path: str) -> Iterator[tuple[str, Any]]:
    """Each value that has a comment, and below a map that has none each of its own."""
    if (
        isinstance(value, dict)
        and value
        and not (path in notes and not any(key.startswith(f"{path}.") for key in notes))
    ):
        for key, each in value.items():
            yield from leaves(each, notes, f"{path}.{key}" if path else key)
    else:
        yield path, value


def tables() -> dict[str, str]:
    """The README's tables, by name."""
    text = VALUES.read_text("utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    notes = comments(text)
    parts: dict[str, Any] = values.pop("components")
    switches = [(f"`{path}`", shown(value), notes.get(path, "")) for path, value in leaves(values, notes, "")]
    keys = [(f"`{key}`", note) for key, note in of_components(notes).items()]
    each = [
        (f"`{name}`", notes.get(f"components.{name}", ""), shown(part.get("replicas")), _amounts(part["resources"]))
        for name, part in parts.items()
    ]
    return {
        "values": table(switches, ("value", "default", "what it does")),
        "component keys": table(keys, ("key", "what it does")),
        "components": table(each, ("component", "what it is", "replicas", "requests and limits")),
    }


def _amounts(found: dict[str, dict[str, str]]) -> str:
    return "; ".join(
        f"{kind}: " + ", ".join(f"{amount} {name}" for name, amount in each.items()) for kind, each in found.items()
    )


def readme() -> str:
    """README.md, whole."""
    text = README.read_text("utf-8")
    for name, made in tables().items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{made}\n{end}{after}"
    return text


def main() -> None:
    for path, render in ((SCHEMA, schema), (README, readme)):
        path.write_text(render(), "utf-8")
        print(path)


if __name__ == "__main__":
    main()
