"""What an installation of the library alone lacks, and the extra that brings it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError

if TYPE_CHECKING:
    from collections.abc import Iterator


class MissingExtraError(MeshwrightError, ImportError):
    """A package that an optional part needs is not installed. The text says what to install."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(f"{what} needs the package {package}: pip install 'meshwright[{extra}]'")


@contextlib.contextmanager
def explaining(what: str, extra: str) -> Iterator[None]:
    """Imports in the context belong to an extra. Raises MissingExtraError where a package that they need is not there.

    `what` names the part in the message: "the command line". A module of our own that is missing is a bug, and raised.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "meshwright"}:
            raise
        raise MissingExtraError(what, extra, package) from error


def load(module: str, what: str, extra: str) -> Any:
    """Import a module that belongs to an extra, `explaining` what is missing."""
    with explaining(what, extra):
        return importlib.import_module(module)


def require(package: str, what: str, extra: str) -> None:
    """Raise MissingExtraError where `package` is not installed; it is not imported yet."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(what, extra, package)
