"""Names that do not exist: which one was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIMILAR = 0.6
_MOST_LISTED = 8


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to `name`, ignoring case; None where none is similar."""
    by_lower = {item.lower(): item for item in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.lower(), sorted(by_lower), n=1, cutoff=_SIMILAR)
    return by_lower[found[0]] if found else None


class NoSuchNameError(ValidationError):
    """Unknown name in user input. The text is one sentence, with the closest name."""

    def __init__(self, sentence: str) -> None:
        super().__init__("the name", [Violation("", sentence)])
        self.args = (sentence,)


def no_such_service(name: str, known: Iterable[str]) -> str:
    """The sentence for a service name that is not known: with the closest name, or else the names there are."""
    return no_such("service", name, known, none="none is registered")


def no_such(kind: str, name: str, known: Iterable[str], *, none: str = "there are none") -> str:
    """The sentence for a name of that kind that is not known."""
    names = sorted(set(known))
    similar = closest(name, names)
    if similar is not None:
        return f"no {kind} is called {name}; did you mean {similar}?"
    if not names:
        return f"no {kind} is called {name}; {none}"
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"no {kind} is called {name}; there are {', '.join(names[:_MOST_LISTED])}{more}"
