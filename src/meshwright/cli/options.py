"""What several commands take alike."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from meshwright import durations
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

topology_option = click.option("-t", "--topology", default="", metavar="NAME", help="Which one, if several are up.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4 alone
    """A length of time: `60`, `60s`, `5m`, `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            found = float(value) if re.fullmatch(r"[0-9.]+", value) else durations.seconds(durations.parse(value))
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
