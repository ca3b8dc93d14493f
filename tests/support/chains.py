"""Compiled discovery chains, as the real Consul 1.8.7 gave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshwright.controlplane.catalog import Target
from meshwright.model import ServiceName

FOLDER = Path(__file__).resolve().parents[1] / "unit" / "controlplane" / "chains"

USER = ServiceName("user")
ALL = Target(USER)
V1 = Target(USER, "Service.Meta.version == v1")
V2 = Target(USER, "Service.Meta.version == v2", only_passing=True)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def chain_of(service: str) -> dict[str, Any]:
    """The chain of a service without config entries."""
    return json.loads((FOLDER / "plain.json").read_text(encoding="utf-8").replace("user", service))
