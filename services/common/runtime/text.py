"""Validation of text for all services: control characters and lone surrogates are invalid.

`str.isprintable` is too strict: it rejects the joiners inside emoji sequences and Persian and Hindi words, the spaces
of French and Japanese typography, and characters newer than Python's tables. Control characters (Unicode category Cc)
are rejected because terminals, logs and databases interpret them; lone surrogates (Cs) because they cannot be encoded.
Lengths count code points, as PostgreSQL's `char_length` and Python's `len` do; the emoji of a family of four has seven.
"""

from __future__ import annotations

import re
import unicodedata

LINES = frozenset("\n\t")
"""Control characters that multi-line texts may contain."""
_LINE_END = re.compile(r"\r\n?")
_CONTROLS = "Cc"
_SURROGATES = "Cs"
_REPLACEMENT = "\ufffd"


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded: JSON can contain lone surrogates (`\\ud800`)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_problem(text: str, longest: int, *, required: bool = False, lines: bool = False) -> str:
    """Returns the problem with the text; empty if it is valid. `longest`: in code points. `required`: rejects blank
    text. `lines`: allows line breaks and tabs."""
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


def legible(text: str) -> str:
    """Another service's text as `text_problem` accepts it, but for its length: line breaks are normalised, other
    control characters and lone surrogates become U+FFFD."""
    return "".join(_REPLACEMENT if _is_refused(letter) else letter for letter in with_line_breaks(text))


def _is_refused(letter: str) -> bool:
    return letter not in LINES and unicodedata.category(letter) in {_CONTROLS, _SURROGATES}


def with_line_breaks(text: str) -> str:
    """Normalises `\\r\\n` and `\\r` to `\\n`."""
    return _LINE_END.sub("\n", text)
