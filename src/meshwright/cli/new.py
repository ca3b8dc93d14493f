"""`meshwright new NAME`: a service of one's own, from its contract to its test, its topology and its image."""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshwright.errors import MeshwrightError, ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40
_TAKEN = frozenset({"demo", "meshwright", "services", "test", "tests"})


class NotEmptyError(MeshwrightError):
    """The folder has files in it already."""


@click.command()
@click.argument("name")
@click.option(
    "--into",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where to make it (default: a folder of that name).",
)
def new(name: str, into: Path | None) -> None:
    """Make a service of your own.

    NAME is what callers dial: small letters, digits and hyphens, such as billing. Makes a folder with a contract, the
    code generated from it, a server, a test, a topology, a Makefile and a Dockerfile.
    """
    folder = into or Path(name)
    package = _package(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotEmptyError(f"{folder} is there already and not empty: name another with --into")
    for place, text in _files(name, package):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    is_generated = _generate(folder, package)
    click.echo(f"{folder}: a service called {name}. Next:\n\n  cd {folder}")
    if not is_generated:
        click.echo("  make proto      # generates the code of the contract: grpcio-tools is not installed here")
    click.echo("  make test\n  make up")


def _package(name: str) -> str:
    """The Python and proto package of a service. Raises ValidationError for what can be none."""
    package = name.replace("-", "_")
    what = ""
    if not _NAME.fullmatch(name):
        what = f"{name!r} must be small letters, digits and single hyphens, and begin with a letter"
    elif len(name) > LONGEST:
        what = f"{name!r} has {len(name)} characters, at most {LONGEST} are allowed"
    elif keyword.iskeyword(package) or package in _TAKEN or package in sys.stdlib_module_names:
        what = f"{name!r} would hide the Python module {package}: choose another"
    if what:
        raise ValidationError("the name of the service", [Violation("", what)])
    return package


def _files(name: str, package: str) -> Iterator[tuple[str, str]]:
    """Each file's place below the folder, and its text."""
    title = "".join(part.capitalize() for part in name.split("-"))
    replaced = {"__package__": package, "__Name__": title, "__name__": name}

    def filled(text: str) -> str:
        # Python's own __name__ stands in quotes or before ==.
        for mark, value in replaced.items():
            text = re.sub(rf"{mark}(?! ==)", value, text)
        return text

    root = resources.files("meshwright.cli").joinpath("templates", "service")
    for place, file in _walk(root, ""):
        yield filled(place.removesuffix(".tmpl")), filled(file.read_text("utf-8"))


def _walk(folder: Traversable, place: str) -> Iterator[tuple[str, Traversable]]:
    for each in sorted(folder.iterdir(), key=lambda one: one.name):
        if each.is_dir():
            yield from _walk(each, f"{place}{each.name}/")
        elif each.name.endswith(".tmpl"):
            yield f"{place}{each.name}", each


def _generate(folder: Path, package: str) -> bool:
    """Generate the contract's code, as `make proto` does. False where grpcio-tools is not installed."""
    if find_spec("grpc_tools") is None:
        return False
    outputs = ("--python_out=src", "--pyi_out=src", "--grpc_python_out=src")
    contract = f"protos/{package}/v1/{package}.proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "protos", *outputs, contract]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise MeshwrightError(f"generating the code of {folder / contract} failed:\n{done.stderr.strip()}")
    return True
