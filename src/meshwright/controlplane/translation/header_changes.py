"""Changes of headers on the way, as routers and splitters of newer Consuls ask for them. gRPC clients make none.

An Envoy takes a header's value for a format string, refuses some names, and refuses its whole route table, that of all
services, over one of either. What it might refuse is left out, aloud.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x24\x26-\x7e]*")
"""Printable ASCII without the percent sign, with which Envoy's commands begin."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, order=True)
class HeaderChanges:
    """What is done to the headers of a request, or of a response."""

    add: Pairs = ()
    set: Pairs = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.add or self.set or self.remove)


@dataclass(frozen=True, slots=True, order=True)
class BothWays:
    """The changes on the way there and on the way back."""

    request: HeaderChanges = HeaderChanges()
    response: HeaderChanges = HeaderChanges()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.request or self.response)

    @property
    def fields(self) -> str:
        """What they are called in Consul's entries."""
        named = (("RequestHeaders", self.request), ("ResponseHeaders", self.response))
        return " and ".join(name for name, changes in named if changes)

    def then(self, more: BothWays) -> BothWays:
        """Both, one after the other."""
        return BothWays(_joined(self.request, more.request), _joined(self.response, more.response))


UNCHANGED = BothWays()


def read(definition: Mapping[str, Any]) -> BothWays:
    """The `RequestHeaders` and `ResponseHeaders` of a route's destination, or of a split."""
    return BothWays(_read(definition.get("RequestHeaders")), _read(definition.get("ResponseHeaders")))


def problems(changes: BothWays) -> Iterator[str]:
    """What an Envoy is not asked to do, because it might refuse it."""
    for side in (changes.request, changes.response):
        for name, value in (*side.add, *side.set):
            if not _takes(name, value):
                yield f"the header {name} is not changed: an Envoy might not take its name or its value {value!r}"
        for name in side.remove:
            if not _takes(name, ""):
                yield f"the header {name} is not removed: an Envoy might not take its name"


def apply(changes: BothWays, message: Any) -> None:
    """Say it in a route, or a weighted cluster, of an Envoy."""
    for side, kind in ((changes.request, "request"), (changes.response, "response")):
        for pairs, action in ((side.add, "APPEND_IF_EXISTS_OR_ADD"), (side.set, "OVERWRITE_IF_EXISTS_OR_ADD")):
            for name, value in pairs:
                if _takes(name, value):
                    option = getattr(message, f"{kind}_headers_to_add").add(append_action=action)
                    option.header.key, option.header.value = name, value
                    option.keep_empty_value = not value
        getattr(message, f"{kind}_headers_to_remove").extend(name for name in side.remove if _takes(name, ""))


def _read(document: Mapping[str, Any] | None) -> HeaderChanges:
    document = document or {}
    return HeaderChanges(
        tuple(sorted((document.get("Add") or {}).items())),
        tuple(sorted((document.get("Set") or {}).items())),
        tuple(sorted(document.get("Remove") or ())),
    )


def _joined(one: HeaderChanges, other: HeaderChanges) -> HeaderChanges:
    return HeaderChanges(one.add + other.add, one.set + other.set, one.remove + other.remove)


def _takes(name: str, value: str) -> bool:
    return bool(_NAME.fullmatch(name) and _VALUE.fullmatch(value)) and name.lower() != "host"
