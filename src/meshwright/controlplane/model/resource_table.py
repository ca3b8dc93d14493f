"""All resources of one type in one view, by name.

A `ResourceTable` holds its resources. A lazy one makes each resource when it is asked for, because a node asks for few
of them. Tables are compared by identity: views that do not differ in a type share its table, and a snapshot takes over
the table of the one before where nothing in it changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView

    from meshwright.controlplane.model.snapshot import Resource

EMPTY: frozenset[str] = frozenset()


def digest(content: bytes) -> str:
    """A content version: short enough to read in a log, long enough never to collide by chance."""
    return hashlib.sha256(content).hexdigest()[:16]


class ResourceTable(Mapping[str, "Resource"]):
    """Immutable resources by name. Equal to itself alone, so that it can be a key."""

    lazy: ClassVar[bool] = False
    """Whether resources are made when they are asked for. Then `changed_since` looks only at subscribed names."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._resources = dict(resources)

    def __getitem__(self, name: str) -> Resource:
        return self._resources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._resources.keys()

    @cached_property
    def version(self) -> str:
        """A hash over all resources: equal on every replica that knows the same."""
        lines = sorted(f"{name} {resource.version}" for name, resource in self._resources.items())
        return digest("\n".join(lines).encode())

    @property
    def corrected(self) -> frozenset[str]:
        """The names of the resources that differ by the node's timeout skew."""
        return EMPTY

    def changed_since(self, old: ResourceTable, subscribed: frozenset[str] | None = None) -> frozenset[str]:
        """The names whose resource came, went, or has other content than in `old`.

        `subscribed` limits the look where one of the two tables is lazy; otherwise it does not matter.
        """
        if old is self:
            return EMPTY
        names = (subscribed or EMPTY) if self.lazy or old.lazy else old.keys() | self.keys()
        looked_at = (name for name in names if not self.shares(name, old))
        return frozenset(name for name in looked_at if _differ(old.get(name), self.get(name)))

    def shares(self, _name: str, _other: ResourceTable) -> bool:
        """Whether `other` has the same resource of that name, as far as can be told without making the two."""
        return False


def _differ(one: Resource | None, other: Resource | None) -> bool:
    return one is not other and (one is None or other is None or one.version != other.version)
