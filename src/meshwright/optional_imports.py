"""What an installation of the library alone lacks, and the extra that brings it."""

from __future__ import annotations

import importlib
from typing import Any

from meshwright.errors import MeshwrightError


class MissingExtraError(MeshwrightError, ImportError):
    """A package that an optional part needs is not installed. The text says what to install."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(f"{what} needs the package {package}: pip install 'meshwright[{extra}]'")


def load(module: str, what: str, extra: str) -> Any:
    """Import a module that belongs to an extra. Raises MissingExtraError where a package that it needs is not there.

    `what` names the part in the message: "the command line". A module of our own that is missing is a bug, and raised.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "meshwright"}:
            raise
        raise MissingExtraError(what, extra, package) from error
