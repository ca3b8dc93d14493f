"""What several commands take alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meshwright.errors import BadInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

topology_option = click.option("-t", "--topology", default="", metavar="NAME", help="Which one, if several are up.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    """`name=value` texts; raises `BadInputError` for one without `=`."""
    wrong = [text for text in texts if "=" not in text.strip("=")]
    if wrong:
        raise BadInputError("the command", [Problem(f"{option} {text}", "expected NAME=VALUE") for text in wrong])
    return [(name, value) for name, _, value in (text.partition("=") for text in texts)]
