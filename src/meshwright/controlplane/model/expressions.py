r"""Regular expressions: gRPC and Envoy take RE2's, and refuse a whole route table over one that is not.

RE2 itself is not at hand, so an expression is judged by what the two syntaxes do not share (github.com/google/re2,
Syntax): what only Python has is refused, what only RE2 has is replaced by something of the same form, and the rest
Python's own parser judges.
"""

from __future__ import annotations

import re
import warnings

_PYTHON_ONLY = re.compile(
    r"\(\?(?:[=!>(#]|<[=!]|P=)"  # lookaround, atomic groups, conditionals, comments, named back references
    r"|\(\?[A-Za-z-]*[aLux][A-Za-z-]*[:)]"  # Python's own flags
    r"|[*+?}]\+"  # possessive repeats
)
_PYTHON_ESCAPES = re.compile(r"\\[1-9ZuUN]")  # back references among them
_LITERAL = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
"""Escaped characters and classes, in which nothing of the above means anything."""
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_RE2_ONLY = (
    (re.compile(r"\\Q.*?(?:\\E|$)"), "x"),
    (re.compile(r"\\[pP](?:\{\^?\w+\}|\w)"), r"\\w"),
    (re.compile(r"\\z"), "$"),
    (re.compile(r"\\C"), "."),
    (re.compile(r"\\x\{[0-9A-Fa-f]+\}"), "x"),
    (re.compile(r"\[:\^?\w+:\]"), "a-z"),
    (re.compile(r"\(\?[imsU]*(?:-[imsU]+)?(?P<end>[:)])"), lambda found: "(?:" if found["end"] == ":" else ""),
)
_MOST_REPEATS = 1000


def problem(pattern: str) -> str | None:
    """Why RE2 would not take this expression, as far as can be told; None where it would."""
    plain = pattern.replace("\\\\", "x")
    for foreign, substitute in _RE2_ONLY:
        plain = foreign.sub(substitute, plain)
    if _PYTHON_ESCAPES.search(plain) or _PYTHON_ONLY.search(_LITERAL.sub("x", plain)):
        return f"regular expression {pattern!r} uses what RE2 does not have (lookaround, back references or the like)"
    if any(int(number or 0) > _MOST_REPEATS for repeat in _REPEAT.findall(plain) for number in repeat):
        return f"regular expression {pattern!r} repeats more than {_MOST_REPEATS} times"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of no concern: what Python may one day read differently
            re.compile(plain)
    except (re.error, RecursionError, OverflowError) as error:
        return f"regular expression {pattern!r} is not valid: {error}"
    return None
