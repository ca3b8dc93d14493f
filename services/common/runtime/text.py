"""What text is, for all services: everything but control characters and halves of surrogate pairs.

`str.isprintable` is no measure for what people write: it refuses the joiners that hold an emoji of a family together
and that Persian and Hindi need inside of words, the spaces of French and Japanese typography, and every character that
is newer than Python's tables. Control characters (Unicode's category Cc) are refused, since they mean something to
terminals, logs and databases and nothing to a reader; halves of surrogate pairs (Cs) are, since they cannot be encoded.
Lengths count code points, as PostgreSQL's `char_length` and Python's `len` do; a family of four is seven.
"""

from __future__ import annotations

import re
import unicodedata

LINES = frozenset("\n\t")
"""Control characters that texts of several lines may have."""
_LINE_END = re.compile(r"\r\n?")
_CONTROLS = "Cc"


def is_unicode(text: str) -> bool:
    """Whether it can be encoded: JSON may name code points (`\\ud800`) that are half of a pair, and no characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_problem(text: str, longest: int, *, required: bool = False, lines: bool = False) -> str:
    """What is wrong with the text; empty if nothing is. `longest` is in code points; spaces alone are no text where one
    is `required`; `lines`: whether it may have several, and tabs."""
    if required and not text.strip():
        return "is required"
    if len(text) > longest:
        return f"must be at most {longest} characters long"
    if not is_unicode(text):
        return "must be text: there is half a surrogate pair in it"
    allowed = LINES if lines else frozenset[str]()
    if any(unicodedata.category(letter) == _CONTROLS and letter not in allowed for letter in text):
        return f"must not hold control characters{' other than line breaks and tabs' if lines else ''}"
    return ""


def with_line_breaks(text: str) -> str:
    """The text with each end of a line as `\\n`: some systems write `\\r\\n`."""
    return _LINE_END.sub("\n", text)
