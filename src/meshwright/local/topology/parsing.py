"""Parses a topology file to a `Topology`, or to one error that lists all problems with their lines."""

from __future__ import annotations

import difflib
import re
import tomllib
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from meshwright import schema
from meshwright.errors import ValidationError, Violation
from meshwright.local.topology import toml_positions
from meshwright.local.topology.file_lookup import DEFAULT
from meshwright.local.topology.spec import (
    COMPONENTS,
    CONTROLPLANE,
    DEFAULT_PORTS,
    MAX_REPLICAS,
    NONE,
    REGISTRY,
    TRACES,
    Hint,
    MeshSpec,
    ProcessSpec,
    Topology,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NAME = {
    "type": "string",
    "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "description": "a name of lower-case letters, digits and '-', at most 63",
}
_LONGEST_NAME = 63
_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_PORT = {"type": "integer", "minimum": 0, "maximum": 65535}
_SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 3600}

READY = re.compile(r"consul|grpc|tcp|started|http:/[^/].*|http:/|https?://.+")


def _table(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}


_PROCESS = _table(
    {
        "module": {**_TEXT, "pattern": r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", "description": "a Python module's name"},
        "command": {"type": "array", "minItems": 1, "items": _TEXT},
        "folder": _TEXT,
        "service": _NAME,
        "replicas": {"type": "integer", "minimum": 0, "maximum": MAX_REPLICAS},
        "version": _TEXT,
        "port": _PORT,
        "ports": {"type": "object", "additionalProperties": _PORT, "propertyNames": _NAME},
        "public": {"type": "boolean"},
        "environment": _TEXTS,
        "wait_for": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        "ready": {
            "type": "string",
            "pattern": f"^({READY.pattern})$",
            "description": "consul, grpc, tcp, started, http:/path or a URL",
        },
        "ready_timeout": _SECONDS,
        "stop_timeout": _SECONDS,
        "restart": {"type": "boolean"},
    }
)

TOPOLOGY_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Meshwright topology",
    **_table(
        {
            "name": _NAME,
            "mesh": _table(
                {
                    REGISTRY: _TEXT,
                    CONTROLPLANE: _TEXT,
                    TRACES: _TEXT,
                    "postgres": {"type": "string"},
                    "ports": _table(dict.fromkeys(DEFAULT_PORTS, _PORT)),
                }
            ),
            "environment": _TEXTS,
            "processes": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": _NAME,
                "additionalProperties": _PROCESS,
            },
            "try": {"type": "array", "items": _table({"say": _TEXT, "run": _TEXT}, required=["say", "run"])},
        },
        required=["processes"],
    ),
}


def load(path: Path) -> Topology:
    """Reads a topology file. Raises `ValidationError` with the file and every problem with its position."""
    source = f"topology {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValidationError(source, [Violation("", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ValidationError(source, [Violation("", f"is not UTF-8: {error.reason}")]) from error
    return parse(text, path)


def parse(text: str, path: Path) -> Topology:
    """Parses a topology's text; `path` is its name in errors and the base of relative folders."""
    source = f"topology {path}"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValidationError(source, [Violation("", f"is not TOML: {error}")]) from error
    problems = list(schema.violations(document, TOPOLOGY_SCHEMA))
    if not problems:
        topology = _topology(document, path)
        problems = list(_contradictions(topology))
    if problems:
        raise ValidationError(source, _placed(problems, toml_positions.index(text)))
    return topology


def _placed(problems: list[Violation], places: dict[toml_positions.Path, int]) -> list[Violation]:
    placed = []
    for problem in problems:
        line = toml_positions.line_of(places, toml_positions.parse_place(problem.path))
        where = ", ".join(filter(None, [f"line {line}" if line else "", problem.path]))
        placed.append((line or 0, Violation(where, problem.message)))
    return [problem for _, problem in sorted(placed, key=lambda pair: pair[0])]


def _topology(document: Mapping[str, Any], path: Path) -> Topology:
    return Topology(
        name=document.get("name") or _default_name(path),
        source=path,
        mesh=MeshSpec(**document.get("mesh", {})),
        environment=document.get("environment", {}),
        processes=tuple(_process(name, entry, path) for name, entry in document["processes"].items()),
        hints=tuple(Hint(**hint) for hint in document.get("try", ())),
    )


def _default_name(path: Path) -> str:
    """The file's name; for a `meshwright.toml`, that of its folder."""
    text = path.resolve().parent.name if path.name == DEFAULT.name else path.stem
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_NAME].strip("-") or "topology"


def _process(name: str, entry: Mapping[str, Any], path: Path) -> ProcessSpec:
    values = {"service": name, **entry}
    for key in ("command", "wait_for"):
        if key in values:
            values[key] = tuple(values[key])
    if "folder" in values:
        values["folder"] = path.parent / values["folder"]
    return ProcessSpec(name=name, **values)


def _contradictions(topology: Topology) -> Iterator[Violation]:
    """The rules beyond the JSON schema."""
    for process in topology.processes:
        yield from _own_contradictions(topology, process)
    yield from _unknown_names(topology)
    yield from _ports_used_twice(topology)
    yield from _cycle(topology)


def _own_contradictions(topology: Topology, process: ProcessSpec) -> Iterator[Violation]:
    where = schema.place(["processes", process.name])
    if process.name in COMPONENTS:
        yield Violation(where, f"{process.name} is the name of a component of the mesh; choose another")
    if bool(process.module) == bool(process.command):
        yield Violation(where, "needs a module or a command" if not process.module else "has both module and command")
    if process.replicas > 1 and (process.port or any(process.ports.values())):
        yield Violation(
            f"{where}.replicas", f"{process.replicas} instances cannot share a fixed port; leave the port out"
        )
    if process.public and not _says_host(topology, process):
        yield Violation(
            f"{where}.public", "a public process listens on ${host}, and its command and environment do not name that"
        )
    if process.ready == "consul" and topology.mesh.registry == NONE:
        yield Violation(f"{where}.ready", "consul needs a registry, and mesh.registry is none")
    if process.folder is not None and not process.folder.is_dir():
        yield Violation(f"{where}.folder", f"{process.folder} is not a folder")


def _says_host(topology: Topology, process: ProcessSpec) -> bool:
    texts = (*process.command, *process.environment.values(), *topology.environment.values())
    return any("${host}" in text for text in texts)


def _unknown_names(topology: Topology) -> Iterator[Violation]:
    known = [process.name for process in topology.processes] + list(COMPONENTS)
    for process in topology.processes:
        for index, name in enumerate(process.wait_for or ()):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                yield Violation(schema.place(["processes", process.name, "wait_for", index]), f"no {name!r}; {hint}")


def _ports_used_twice(topology: Topology) -> Iterator[Violation]:
    owners = {port: f"mesh.ports.{name}" for name, port in topology.mesh.ports.items()}
    for process in topology.processes:
        where = schema.place(["processes", process.name])
        named = {f"{where}.port": process.port, **{f"{where}.ports.{key}": port for key, port in process.ports.items()}}
        for place, port in named.items():
            if port and port in owners:
                yield Violation(place, f"port {port} is that of {owners[port]} already")
            elif port:
                owners[port] = place


def _cycle(topology: Topology) -> Iterator[Violation]:
    graph = {process.name: process.wait_for or () for process in topology.processes}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        where = schema.place(["processes", cycle[0], "wait_for"])
        yield Violation(where, f"waits for itself: {' -> '.join(cycle)}")
