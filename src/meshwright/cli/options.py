"""What several commands take alike."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

topology_option = click.option("-t", "--topology", default="", metavar="NAME", help="Which one, if several are up.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4 alone
    """A length of time: `60`, `60s`, `5m`, `1h30m`."""

    name = "duration"
    _UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        parts = re.findall(r"([0-9.]+)([hms])", value)
        whole = bool(parts) and "".join(number + unit for number, unit in parts) == value
        try:
            found = sum(float(number) * self._UNITS[unit] for number, unit in parts) if whole else float(value)
        except ValueError:
            found = math.nan
        if not 0 <= found < math.inf:
            self.fail(f"expected seconds or a duration such as 90s or 5m, not {value!r}", param, ctx)
        return found


def pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    """`name=value` texts; raises `ValidationError` for one without `=`."""
    wrong = [text for text in texts if "=" not in text.strip("=")]
    if wrong:
        raise ValidationError("the command", [Violation(f"{option} {text}", "expected NAME=VALUE") for text in wrong])
    return [(name, value) for name, _, value in (text.partition("=") for text in texts)]
