"""Placeholders in a topology's strings: `${name}`, and `${name:-default}` for a name that is unset or empty.

A name is looked up in the plan's values (`port`, `instance`, `cart.address`), then in the environment of `up`. A
default may hold placeholders itself, one level deep. `$$` is a dollar sign. An expanded value is never expanded again,
so a value from the environment cannot inject a placeholder.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][\w.-]*?)(?::-(?P<default>(?:[^${}]|\$\$|\$\{[^{}]*\})*))?\})"
)


class UnknownNameError(ValueError):
    """An unknown placeholder; the message has its name and the closest match."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def expand(text: str, values: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Expands every placeholder of `text`. Raises `UnknownNameError` for an unset name without a default."""

    def fill(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        found = values.get(match["name"], environment.get(match["name"]))
        if match["default"] is not None:
            return found or expand(match["default"], values, environment)
        if found is None:
            raise UnknownNameError(match["name"], _unknown(match["name"], values))
        return found

    return _PLACEHOLDER.sub(fill, text)


def _unknown(name: str, values: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, values, n=1)
    hint = f"did you mean ${{{near[0]}}}?" if near else "it is not in the environment either"
    return f"nothing is called ${{{name}}}; {hint}"
