"""Words: prose names the thing itself as its subject, and names in code are the field's terms (docs/glossary.md)."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import meshwright

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [ROOT / "src" / "meshwright", ROOT / "services", ROOT / "operator"]
AROUND = [ROOT / "tests", ROOT / "scripts", ROOT / "bench"]
DOCUMENTS = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "helm/**/*.md", "operator/*.md")
    for path in ROOT.glob(pattern)
)
BANNED = re.compile(
    r"\b(nobody|no one|somebody|someone|whoever|anybody|everybody|a person|cannot be had|said aloud)\b", re.IGNORECASE
)
"""Words of which the thing itself would be the better subject, and riddles."""
QUOTED = {"a slide", "somebody is looking into your order", "'nobody'", '"nobody"', "stores nobody", "forgets whoever"}
"""What the lecture says, what pages say to people, and values."""
_RETIRED = (
    "armour heads Turn restraint patience Edge newcomers keyring stays Stay Talk Bell facts Fact "
    "Happened Happening kit tail standins Mirror Keeper Sweeper Hub Viewpoint bodies Receipt "
    "spared owed walking upholding people verbs farewell Follower figures Demand Announcer "
    "Announcements seats member child desk taken found origins lines Whereabouts Door Doors Visit "
    "parts BadInputError Problem detached details Incoming has_baggage"
)
RETIRED = frozenset(_RETIRED.split())
"""Names of modules, classes and the facade that gave way to the field's terms."""
FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`[^`\n]+`")


def python_files(folders: list[Path]) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py") if ".venv" not in path.parts)


def words_of_prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a module's comments and docstrings, and the names of its functions and classes as words."""
    text = path.read_text("utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from enumerate(node.value.value.splitlines(), node.lineno)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name.replace("_", " ")


def offences(path: Path, lines: Iterator[tuple[int, str]]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:160]}"
        for number, line in lines
        if BANNED.search(line) and not any(quote in line.lower() for quote in QUOTED)
    ]


def test_prose_names_things_not_people() -> None:
    found = [
        offence
        for path in python_files(PRODUCT)
        for offence in offences(path, iter(enumerate(path.read_text("utf-8").splitlines(), 1)))
    ]
    assert found == []


@pytest.mark.parametrize("folder", AROUND, ids=lambda folder: folder.name)
def test_comments_docstrings_and_names_of_tests_and_scripts_do_so_too(folder: Path) -> None:
    found = [offence for path in python_files([folder]) for offence in offences(path, words_of_prose(path))]
    assert found == []


def test_documents_do_so_too() -> None:
    """Code in documents may quote a value that is one of these words."""
    found = []
    for path in DOCUMENTS:
        text = FENCED.sub(lambda block: "\n" * block[0].count("\n"), path.read_text("utf-8"))
        found += offences(path, iter(enumerate(SPAN.sub("`", text).splitlines(), 1)))
    assert found == []


def test_retired_names_do_not_come_back() -> None:
    modules = [path for path in python_files(PRODUCT) if {path.stem, path.parent.name} & RETIRED]
    classes = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in python_files(PRODUCT)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.lstrip("_") in RETIRED
    ]
    assert (modules, classes, RETIRED & set(meshwright.__all__)) == ([], [], set())


def test_the_glossary_is_in_order_and_each_term_has_one_line() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE)
    terms = [term for term, _ in rows if term not in {"term", "---"}]
    assert len(terms) == len({term.casefold() for term in terms})
    assert terms == sorted(terms, key=str.casefold)
