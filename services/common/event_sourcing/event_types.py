"""Event types: the stored names of dataclasses, their versions, and upcasters.

An event is stored under a name and a version, as in `OrderPlaced.v2`, not under its place in the code. A stored event
never changes. If the fields of a type change, its version is raised and an upcaster converts the data of the version
before; stored events are upcast whenever they are read or published.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

E = TypeVar("E")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class StoredEvent(Generic[E]):
    """An event with its version, time and actor."""

    version: int
    """Number of the event in its entity's history, from 1."""
    event: E
    at: datetime
    actor: str = ""
    """The subject of the caller's token, `anonymous`, or the name of a service; empty: not recorded."""


class EventTypes(Generic[E]):
    """The types of one entity's events: dataclasses, named by their class.

    `upcasters` maps (name, version) to a function from that version's data to the data of the next one. A type's own
    version is one above its last upcaster's, or 1.
    """

    def __init__(
        self,
        *kinds: type[E],
        upcasters: Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] | None = None,
    ) -> None:
        self.kinds: Mapping[str, type[E]] = {kind.__name__: kind for kind in kinds}
        self._adapters = {name: TypeAdapter(kind) for name, kind in self.kinds.items()}
        self._upcasters = dict(upcasters or {})

    def type_of(self, event: E) -> str:
        """As in `EmailChanged.v1`."""
        name = type(event).__name__
        version = 1
        while (name, version) in self._upcasters:
            version += 1
        return f"{name}.v{version}"

    def event_of(self, kind: str, data: Mapping[str, Any]) -> E:
        """Decodes an event of a stored type such as `demo.user.EmailChanged.v1`; ignores unknown fields.

        Raises KeyError for an unknown type, and pydantic.ValidationError.
        """
        kind, data = self.upcast(kind, data)
        return self._adapters[kind.split(".")[-2]].validate_python(data)

    def upcast(self, kind: str, data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """The type and data in the present version of the type."""
        begin, _, version = kind.rpartition(".v")
        name, number = begin.rpartition(".")[2], int(version)
        while (convert := self._upcasters.get((name, number))) is not None:
            data, number = convert(dict(data)), number + 1
        return f"{begin}.v{number}", data


class StateCodec(Generic[S]):
    """Encodes a dataclass as JSON, and decodes it; ignores unknown fields, as those of later releases."""

    def __init__(self, model: type[S]) -> None:
        self._adapter = TypeAdapter(model)

    def encode(self, state: S) -> str:
        return to_json(state)

    def decode(self, document: str) -> S:
        return self._adapter.validate_json(document)


def to_json(instance: Any) -> str:
    """A dataclass as JSON; times as in RFC 3339."""
    return json.dumps(asdict(instance), default=datetime.isoformat, separators=(",", ":"))
