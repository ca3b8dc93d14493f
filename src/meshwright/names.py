"""Names that do not exist: which one was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIMILAR = 0.6
_MOST_LISTED = 8


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to `name`, ignoring case; None where none is similar."""
    by_lower = {item.lower(): item for item in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.lower(), sorted(by_lower), n=1, cutoff=_SIMILAR)
    return by_lower[found[0]] if found else None


def no_such_service(name: str, known: Iterable[str]) -> str:
    """The sentence for a service name that is not known: with the closest name, or else the names there are."""
    names = sorted(set(known))
    similar = closest(name, names)
    if similar is not None:
        return f"no service is called {name}; did you mean {similar}?"
    if not names:
        return f"no service is called {name}; none is registered"
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"no service is called {name}; there are {', '.join(names[:_MOST_LISTED])}{more}"
