"""Compiled discovery chains, as the real Consul 1.8.7 gave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshwright.controlplane.model.catalog import Target
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


def newer(name: str) -> dict[str, Any]:
    """A chain of `user` as the compiler of Consul 1.20.6 makes it, of the enterprise edition's entries too."""
    return json.loads((FOLDER / "newer" / f"{name}.json").read_text(encoding="utf-8"))


def all_newer() -> list[dict[str, Any]]:
    """Every such chain, each as that of a service of its own name."""
    chains = []
    for path in sorted((FOLDER / "newer").glob("*.json")):
        name = path.stem.replace("_", "-")
        text = path.read_text(encoding="utf-8").replace('"user', f'"{name}').replace(".user.", f".{name}.")
        chains.append(json.loads(text.replace(":user.", f":{name}.")))
    return chains


def chain_of(service: str) -> dict[str, Any]:
    """The chain of a service without config entries."""
    return json.loads((FOLDER / "plain.json").read_text(encoding="utf-8").replace("user", service))
