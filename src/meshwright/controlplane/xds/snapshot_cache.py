"""The current snapshot and the streams that it is sent on. A change costs as much as the streams that it concerns.

Streams whose nodes have the same profile, and that want the same names of a type, form a group. Publishing compares
the old and the new view once per profile, intersects the changed names with each group's names, and touches the streams
of the groups that are hit. A thousand clients of one service are one group; their names are one set, shared. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from meshwright.controlplane.model.snapshot import ResourceType
from meshwright.controlplane.xds.response_cache import BodyFactory
from meshwright.controlplane.xds.stream import Response, Stream

if TYPE_CHECKING:
    from meshwright.controlplane.metrics import RequestKind
    from meshwright.controlplane.model.resource_table import ResourceTable
    from meshwright.controlplane.model.snapshot import NodeProfile, Resource, Snapshot
    from meshwright.controlplane.xds.codec import Request
    from meshwright.controlplane.xds.nodes import NodeInfo
    from meshwright.controlplane.xds.response_cache import Bodies

_SPARE_NAMES = 256

GroupKey: TypeAlias = tuple[ResourceType, frozenset[str] | None]


class NodeGroup:
    """The streams whose nodes share a profile."""

    __slots__ = ("groups", "population", "view")

    def __init__(self, view: Bodies | None) -> None:
        self.view = view
        self.population = 0
        self.groups: dict[GroupKey, dict[Stream, None]] = {}


class SnapshotCache:
    """The current snapshot and all streams."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.warming_up = False
        """Whether what a node knows is better than our not knowing it: while we are new (see decision 0026)."""
        self._factory: BodyFactory | None = None
        self._node_groups: dict[NodeProfile, NodeGroup] = {}
        self._keys: dict[Stream, dict[ResourceType, GroupKey]] = {}
        self._names: dict[frozenset[str], frozenset[str]] = {}

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The open streams, oldest first."""
        return tuple(self._keys)

    def open(self, node: NodeInfo, now: float) -> Stream:
        """A new stream of a node; `close` it in the end."""
        node_group = self._node_groups.get(node.node_profile)
        if node_group is None:
            view = None if self._factory is None else self._factory.make(node.node_profile)
            node_group = self._node_groups[node.node_profile] = NodeGroup(view)
        node_group.population += 1
        stream = Stream(node, now, intern=self._intern)
        self._keys[stream] = {}
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a stream."""
        keys = self._keys.pop(stream, None)
        if keys is None:
            return
        node_profile = stream.node.node_profile
        node_group = self._node_groups[node_profile]
        for key in keys.values():
            self._leave(node_group, key, stream)
        node_group.population -= 1
        if not node_group.population:
            del self._node_groups[node_profile]

    def receive(self, stream: Stream, request: Request, now: float) -> RequestKind:
        """Take in a request of a stream; whether there is something to send, `next` tells."""
        first = request.type not in stream.types
        request_kind = stream.receive(request, now)
        if first and self.warming_up and request.version and request.type is ResourceType.LISTENER:
            stream.types[request.type].preserved = stream.types[request.type].names
        wanted = stream.types[request.type].wanted
        keys = self._keys[stream]
        key = keys.get(request.type)
        if key is None or key[1] is not wanted:
            node_group = self._node_groups[stream.node.node_profile]
            if key is not None:
                self._leave(node_group, key, stream)
            keys[request.type] = (request.type, wanted)
            node_group.groups.setdefault((request.type, wanted), {})[stream] = None
        return request_kind

    def next(self, stream: Stream) -> Response | None:
        """What to send to a stream now; None before the first snapshot, and when it is up to date."""
        node_group = self._node_groups.get(stream.node.node_profile)
        return None if node_group is None or node_group.view is None else stream.next(node_group.view)

    def publish(self, snapshot: Snapshot) -> tuple[Stream, ...]:
        """Make a snapshot the current one. Returns the streams that have something to be sent."""
        self.snapshot = snapshot
        self._factory = BodyFactory(snapshot)
        touched: dict[Stream, None] = {}
        comparison = _Comparison()
        for node_profile, node_group in self._node_groups.items():
            old, node_group.view = node_group.view, self._factory.make(node_profile)
            if old is None:
                touched.update({stream: None for streams in node_group.groups.values() for stream in streams})
            else:
                comparison.touch(node_group, old, node_group.view, touched)
        return tuple(touched)

    def end_warm_up(self) -> tuple[Stream, ...]:
        """From now on our not knowing a name counts. Returns the streams that have something to be sent."""
        self.warming_up = False
        touched = []
        for stream in self._keys:
            state = stream.types.get(ResourceType.LISTENER)
            if state is not None and state.preserved:
                state.pending |= state.preserved & state.names
                state.preserved = frozenset()
                touched.append(stream)
        return tuple(touched)

    def _leave(self, node_group: NodeGroup, key: GroupKey, stream: Stream) -> None:
        group = node_group.groups[key]
        del group[stream]
        if not group:
            del node_group.groups[key]

    def _intern(self, names: frozenset[str]) -> frozenset[str]:
        node_groups = self._node_groups.values()
        if len(self._names) > _SPARE_NAMES + 2 * sum(len(each.groups) for each in node_groups):
            used = {names for each in node_groups for _, names in each.groups if names is not None}
            self._names = {names: names for names in used}
        return self._names.setdefault(names, names)


class _Comparison:
    """Old and new views compared; tables that views share are compared once."""

    def __init__(self) -> None:
        self._found: dict[tuple[ResourceTable, ResourceTable], frozenset[str]] = {}

    def touch(self, node_group: NodeGroup, old: Bodies, new: Bodies, touched: dict[Stream, None]) -> None:
        """Tell the streams of a node group what changed for them, and note them in `touched`."""
        different = {kind for kind in ResourceType if old[kind].resources is not new[kind].resources}
        if not different:
            return
        for (kind, names), streams in node_group.groups.items():
            if kind not in different:
                continue
            before, now = old[kind].resources, new[kind].resources
            changed = self._changes(before, now, names)
            hit = changed if names is None else new[kind].among(names, changed)
            if hit:
                gone = _gone(hit, before, now) if kind is ResourceType.CLUSTER else frozenset()
                for stream in streams:
                    stream.changed(kind, hit, gone)
                touched.update(streams)

    def _changes(self, before: ResourceTable, now: ResourceTable, names: frozenset[str] | None) -> frozenset[str]:
        if before.lazy or now.lazy:
            return now.changed_since(before, names)
        found = self._found.get((before, now))
        if found is None:
            found = self._found[before, now] = now.changed_since(before)
        return found


def _gone(names: frozenset[str], old: ResourceTable, new: ResourceTable) -> frozenset[Resource]:
    return frozenset(old[name] for name in names if name not in new and name in old)
