"""Docstrings of public names: they are there, and say units, errors and shapes where the types do not."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import meshwright

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [ROOT / "src" / "meshwright", ROOT / "operator" / "meshwright_operator"]
UNIT = re.compile(
    r"seconds?\b|\bs\b|\bms\b|minutes?\b|per ?cent|share|fraction|between 0 and 1|since 1970", re.IGNORECASE
)
SELF_EXPLAINING = re.compile(r"^(now|at|until|clock|since|.*seconds|percent|.*_at|.*_ms)$")
"""Parameters whose name says their unit, or a moment of the clock that the caller passes."""
VAGUE = re.compile(r"^(tuple|dict|list)(\[(Any|object).*)?$|^tuple\[.*\]$")
"""Return types that say nothing of the parts of what is returned: the docstring does."""


class Public(NamedTuple):
    """A public class, function or method, with the docstring of its class in front of its own."""

    where: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    own: str
    text: str


def published() -> list[Path]:
    """The files of the modules that the site's reference shows: those of the facade, and the script's list."""
    script = ast.parse((ROOT / "scripts" / "make_reference.py").read_text("utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in script.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES"
    )
    homes = {getattr(meshwright, name).__module__ for name in meshwright.__all__ if name != "sync"}
    files = []
    for module in sorted({*listed, *homes}):
        base = ROOT / "src" / Path(*module.split("."))
        files.append(base / "__init__.py" if base.is_dir() else base.with_suffix(".py"))
    return files


def product() -> list[Path]:
    return sorted(path for folder in PRODUCT for path in folder.rglob("*.py"))


def public(path: Path) -> Iterator[Public]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield Public(where, node, text, text)
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and (
                    not inner.name.startswith("_") or inner.name == "__init__"
                ):
                    own = ast.get_docstring(inner) or ""
                    yield Public(f"{where}.{inner.name}", inner, own, f"{text} {own}")


def durations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Parameters that are floats of a unit that their name does not say."""
    return [
        argument.arg
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.annotation is not None
        and re.fullmatch(r"float( \| None)?", ast.unparse(argument.annotation))
        and not SELF_EXPLAINING.match(argument.arg)
    ]


def raised(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The errors that a function itself raises by name, but for those that say that the code calling it is wrong."""
    names = {
        each.exc.func.id
        for each in ast.walk(node)
        if isinstance(each, ast.Raise) and isinstance(each.exc, ast.Call) and isinstance(each.exc.func, ast.Name)
    }
    return names - {"NotImplementedError", "AssertionError", "StopAsyncIteration"}


def test_every_public_name_of_the_product_has_a_docstring() -> None:
    missing = [
        each.where
        for path in product()
        for each in public(path)
        if not each.own and each.where.count(".") == path.relative_to(ROOT).as_posix().count(".")
    ]
    assert missing == []


@pytest.mark.parametrize("path", published(), ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_what_the_reference_shows_says_its_errors_and_shapes(path: Path) -> None:
    lacking = []
    for each in public(path):
        if isinstance(each.node, ast.ClassDef):
            continue
        if not each.own and not each.where.endswith("__init__"):
            lacking.append(f"{each.where}: a docstring")
        unsaid = {name for name in raised(each.node) if name not in each.text and "rais" not in each.text.lower()}
        if unsaid:
            lacking.append(f"{each.where}: when it raises {sorted(unsaid)}")
        returns = ast.unparse(each.node.returns) if each.node.returns is not None else ""
        if VAGUE.match(returns) and len(each.own.split()) < 4:
            lacking.append(f"{each.where}: what the parts of {returns} are")
    assert lacking == []


def test_numbers_of_public_functions_say_their_unit() -> None:
    lacking = [
        f"{each.where}: {durations(each.node)}"
        for path in product()
        if "cli" not in path.parts  # there the help of an option says it
        for each in public(path)
        if not isinstance(each.node, ast.ClassDef) and durations(each.node) and not UNIT.search(each.text)
    ]
    assert lacking == []
