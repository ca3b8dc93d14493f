"""A view of a snapshot with every answer encoded at most once.

Streams that want the same resources share the same bytes: a body is kept, by what is in it, for as long as the
snapshot is current. What changed between two snapshots is also found once per node_profile, not once per stream:
snapshots share the objects that did not change, so comparing them is mostly comparing identities.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from meshwright.controlplane.model.snapshot import NodeKind, ResourceType
from meshwright.controlplane.translation.listeners import listener, unknown_listener
from meshwright.controlplane.xds.codec import encode_body
from meshwright.model import ServiceName, folded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from meshwright.controlplane.model.resource_table import ResourceTable
    from meshwright.controlplane.model.snapshot import NodeProfile, Resource, Snapshot

    Bodies: TypeAlias = Mapping[ResourceType, "TypeBodies"]

_MAX_BODIES = 4096
_MAX_BYTES = 16 * 1024 * 1024
"""Of kept answers, for each type in each view: names are the clients' choice, and so is how many of them there are."""
_MAX_SHARED = 1024
"""Tables that are kept for other views: each Envoy address has a listener of its own."""


@lru_cache(maxsize=4096)
def _unknown(name: str, hosted: bool) -> Resource:
    return unknown_listener(name, hosted=hosted)


@lru_cache(maxsize=4096)
def _as_dialled(name: str) -> Resource:
    return listener(ServiceName(folded(name)), name)


class TypeBodies:
    """The resources of one type in one view, and the answers made of them so far."""

    __slots__ = ("_bodies", "_kept", "answer_unknown", "hosts_unknown", "resources", "type")

    def __init__(
        self,
        kind: ResourceType,
        resources: ResourceTable,
        *,
        answer_unknown: bool = False,
        hosts_unknown: bool = False,
    ) -> None:
        self.type = kind
        self.resources = resources
        self.answer_unknown = answer_unknown
        self.hosts_unknown = hosts_unknown
        self._bodies: dict[tuple[frozenset[str] | None, frozenset[Resource]], tuple[bytes, int]] = {}
        self._kept = 0

    @property
    def version(self) -> str:
        """A hash over all resources of the type: equal on every replica that knows the same."""
        return self.resources.version

    def body(self, names: frozenset[str] | None, leaving: frozenset[Resource] = frozenset()) -> tuple[bytes, int]:
        """An encoded answer with the resources of these names (None: all there are), and how many they are.

        `leaving` are resources that the snapshot has no more, and that a node shall keep for a moment. With
        `answer_unknown` every name has an answer: one that differs from a known one by case alone leads where that one
        does, an unknown one gets an empty route table, so that a call fails at once.
        """
        key = (names, leaving)
        found = self._bodies.get(key)
        if found is None:
            chosen = self._choose(names)
            chosen.extend(resource for resource in leaving if resource.name not in self.resources)
            version = f"{self.version}-leaving" if leaving else self.version
            found = encode_body(self.type, version, chosen), len(chosen)
            self._keep(key, found)
        return found

    def _keep(self, key: tuple[frozenset[str] | None, frozenset[Resource]], found: tuple[bytes, int]) -> None:
        if len(self._bodies) >= _MAX_BODIES or self._kept + len(found[0]) > _MAX_BYTES:
            self._bodies.clear()
            self._kept = 0
        self._bodies[key] = found
        self._kept += len(found[0])

    def _choose(self, names: frozenset[str] | None) -> list[Resource]:
        if names is None:
            return [self.resources[name] for name in sorted(self.resources)]
        known = [self.resources[name] for name in sorted(names) if name in self.resources]
        if self.answer_unknown:
            others = (name for name in sorted(names) if name not in self.resources)
            known.extend(
                _as_dialled(name) if self.knows(name) else _unknown(name, self.hosts_unknown) for name in others
            )
        return known

    def knows(self, name: str) -> bool:
        """Whether there is a resource of that name: of a listener, ignoring case."""
        return name in self.resources or (self.answer_unknown and folded(name) in self.resources)

    def among(self, names: frozenset[str], changed: frozenset[str]) -> frozenset[str]:
        """Those of `names` whose resources are among the `changed`."""
        if not self.answer_unknown:
            return changed & names
        return frozenset(name for name in names if name in changed or folded(name) in changed)


class BodyFactory:
    """The views of one snapshot, ready to answer from: tables that views share are encoded once for all."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._shared: dict[tuple[NodeKind, bool, ResourceTable], TypeBodies] = {}

    def make(self, node_profile: NodeProfile) -> Bodies:
        """What a node with that node_profile sees."""
        view = self._snapshot.view(node_profile)
        return {kind: self._make(kind, view[kind], node_profile) for kind in ResourceType}

    def _make(self, kind: ResourceType, resources: ResourceTable, node_profile: NodeProfile) -> TypeBodies:
        if resources.lazy:
            return TypeBodies(kind, resources)
        key = (node_profile.kind, node_profile.hosts_unknown, resources)
        found = self._shared.get(key)
        if found is None:
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            unknown = kind is ResourceType.LISTENER and node_profile.kind is NodeKind.GRPC
            found = self._shared[key] = TypeBodies(
                kind, resources, answer_unknown=unknown, hosts_unknown=node_profile.hosts_unknown
            )
        return found
