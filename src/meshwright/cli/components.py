"""`meshwright registry | controlplane | traces`: runs one component of the mesh.

The options of a command are generated from the component's configuration, each with its variable.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import click

from meshwright.local import components
from meshwright.local.topology.spec import CONTROLPLANE, REGISTRY, TRACES


def _command(name: str, text: str) -> click.Command:
    """The command of a component. Its options are made when it is called: only then is the component imported."""
    kind = components.configuration(name)
    options: list[click.Parameter] = [
        click.Option(
            [f"--{item.name.replace('_', '-')}"],
            metavar="VALUE",
            help=_help(item.metadata["variable"], item.metadata["help"], item.default),
        )
        for item in fields(kind)
        if "variable" in item.metadata
    ]

    def serve(**values: str | None) -> None:
        given = [f"{key}={value}" for key, value in values.items() if value is not None]
        components.run(name, components.read_settings(name, given))

    return click.Command(name, callback=serve, params=options, help=text)


def _help(variable: str, meaning: str, default: Any) -> str:
    shown = "" if default is MISSING or default in (None, ()) else f"; default {json.dumps(default, default=str)}"
    return f"{meaning or variable.removeprefix('MESHWRIGHT_').replace('_', ' ').lower()} [{variable}{shown}]"


def __getattr__(name: str) -> click.Command:
    texts = {
        REGISTRY: "Run the dev Consul: Consul's HTTP API, in memory, for development and tests.",
        CONTROLPLANE: "Run the control plane: watches Consul (CONSUL_HTTP_ADDR) and serves xDS to gRPC clients.",
        TRACES: "Run the dev trace store: takes OTLP, answers Jaeger's query API, and shows traces on a page.",
    }
    if name not in texts:
        raise AttributeError(name)
    return _command(name, texts[name])
