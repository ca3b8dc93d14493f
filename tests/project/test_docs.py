"""What the documents name exists: links, anchors, pictures, commands and their options, variables, make targets."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import meshwright
import meshwright_operator
import services
from meshwright.cli import cli
from meshwright.local.planner.plan import RUN_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "helm/**/*.md", "k8s/**/*.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s;|&$(]|bin/)meshwright ((?:[a-z][a-z-]*|--?[a-z][a-z-]*)[^\n|;&#>]*)")
VARIABLE = re.compile(r"\bMESHWRIGHT_[A-Z_]+\b")
TARGET = re.compile(r"(?:^|[\s`$])make ([a-z][a-z-]*)\b")

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def code(path: Path) -> Iterator[str]:
    """The lines of code blocks, and code within text."""
    text = path.read_text()
    for block in FENCE.finditer(text):
        # A command may go over several lines.
        yield from block[0].replace("\\\n", " ").splitlines()[1:-1]
    yield from CODE.findall(FENCE.sub("", text))


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path.name} links to {link}; there are {sorted(anchors(target))}"


@each_document
def test_commands_exist_with_their_options(path: Path) -> None:
    for line in code(path):
        for found in COMMAND.finditer(f" {line}"):
            check_command(found[1].split(), line)


def check_command(words: list[str], line: str) -> None:
    command: click.Command = cli
    context = click.Context(cli)
    known = {"--help", "-h"} | options(command)
    for word in words:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"no option {word}: {line}"
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            inner = command.get_command(context, word)
            assert inner is not None, f"no command {word}: {line}"
            command = inner
            known |= options(command)


def options(command: click.Command) -> set[str]:
    return {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}


@each_document
def test_variables_are_read_by_something(path: Path) -> None:
    named = set(VARIABLE.findall(path.read_text()))
    assert named <= settings(), f"nothing reads {sorted(named - settings())}"


def settings() -> set[str]:
    """Every variable that a configuration reads."""
    found = {RUN_MARK}
    for package in (meshwright, services, meshwright_operator):
        for module in modules(package):
            for value in vars(module).values():
                if dataclasses.is_dataclass(value) and isinstance(value, type):
                    fields = dataclasses.fields(value)
                    found |= {field.metadata["variable"] for field in fields if "variable" in field.metadata}
    return found


def modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not info.name.endswith(("__main__", ".env")) and ".versions." not in info.name:
            yield importlib.import_module(info.name)


@each_document
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in code(path):
        for name in TARGET.findall(line):
            assert name in targets, f"no target {name}: {line}"
