"""Regular expressions: gRPC and Envoy take RE2's, and refuse a whole route table over one that is not."""

from __future__ import annotations

import re

_NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\(\?P=|\(\?>|\(\?\(|[*+?}]\+")
"""Lookaround, back references, atomic groups, conditionals, possessive repeats: Python has them, RE2 does not."""


def problem(pattern: str) -> str | None:
    """Why RE2 would not take this expression, as far as can be told without RE2; None where it would."""
    if _NOT_RE2.search(pattern):
        return f"regular expression {pattern!r} uses what RE2 does not have (lookaround, back references or the like)"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"regular expression {pattern!r} is not valid: {error}"
    return None
