"""Headers that a request keeps over every hop, as in `x-preview: yes`: which version answers is chosen by them.

A route of the mesh looks at the metadata of one call (gRFC A28), and a call has the metadata that its caller gives it:
behind the first service a tester's header would be gone, and the second service's canary with it. So the headers that
`MESHWRIGHT_CARRIED_HEADERS` names are taken from whatever comes in (an HTTP request, a call, a message) and put into
the metadata of all that goes out because of it.

On the way they are OpenTelemetry's baggage: its context is inherited by tasks, streams and threads already, and a
service that knows nothing of this but speaks W3C baggage hands them on too. Metadata wins over baggage where both
arrive, as it is what routed the call. Baggage of other names goes on as baggage and never becomes metadata.

A value that gRPC could not send or match, or that is too long, is left out here; a gateway refuses it (`problem`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentelemetry import baggage
from opentelemetry.context import Context, get_current

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    Pair = tuple[str, str | bytes]

MAX_VALUE = 256
"""Characters of one value."""
MAX_TOTAL = 1024
"""Characters of all names and values: they go out twice, and clients accept 8 KiB of metadata in all."""
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def problem(value: str) -> str:
    """Why a value cannot be carried; empty where it can."""
    if len(value) > MAX_VALUE:
        return f"has {len(value)} characters; {MAX_VALUE} are allowed"
    if not _VALUE.fullmatch(value):
        return "must be printable ASCII"
    return ""


def picked(headers: Iterable[Pair], names: Collection[str]) -> dict[str, str]:
    """The values of those `names`, as they came; several of one name are one, joined by commas, as routes see them."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in names:
            text = value if isinstance(value, str) else value.decode("latin-1")
            if text := text.strip(" \t"):
                found[name] = f"{found[name]},{text}" if name in found else text
    return found


def usable(found: Mapping[str, str]) -> dict[str, str]:
    """What of it can be sent, in its order, as far as there is room."""
    kept: dict[str, str] = {}
    room = MAX_TOTAL
    for name, value in found.items():
        size = len(name) + len(value)
        if size <= room and not problem(value):
            kept[name] = value
            room -= size
    return kept


def taken(headers: Iterable[Pair], names: Collection[str], context: Context) -> Context:
    """`context` with the carried headers among `headers` in its baggage.

    Baggage of such a name that cannot be sent is taken out: further on it would neither route nor end.
    """
    found = picked(headers, names)
    held = baggage.get_all(context)
    for name in names:
        if name not in found and name in held:
            found[name] = str(held[name]).strip(" \t")
    kept = usable(found)
    for name in found:
        if name not in kept:
            context = baggage.remove_baggage(name, context)
        elif held.get(name) != kept[name]:
            context = baggage.set_baggage(name, kept[name], context)
    return context


def outgoing(pairs: list[Pair], names: Collection[str]) -> None:
    """Add to the metadata `pairs` what the current context carries; what the call has been given itself stands."""
    if len(get_current()) < 2:  # noqa: PLR2004 - a context of one entry holds the current span and nothing else
        return
    held = baggage.get_all()
    if not held:
        return
    own = {name for name, _ in pairs}
    found = {name: str(held[name]).strip(" \t") for name in names if name in held and name not in own}
    pairs.extend(usable(found).items())
