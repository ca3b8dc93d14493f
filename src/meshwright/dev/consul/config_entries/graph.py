"""The config entries together: written only if every chain they take part in still compiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright.dev.consul.config_entries.chains import Place, compile_chain
from meshwright.dev.consul.config_entries.entries import GLOBAL, PROXY, RESOLVER, ROUTER, SPLITTER
from meshwright.model import folded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.dev.consul.catalog.store import Store
    from meshwright.dev.consul.config_entries.entries import Entry

ENTRIES = "config-entries"
_CHAIN_KINDS = (ROUTER, SPLITTER, RESOLVER)

Key = tuple[str, str]


def entry_topic(kind: str, name: str) -> str:
    """The topic of one entry."""
    return f"config/{kind}/{folded(name)}"


def kind_topic(kind: str) -> str:
    """The topic of all entries of a kind."""
    return f"config/{kind}"


@dataclass
class ConfigEntries:
    """All entries by kind and name, which is compared ignoring case.

    Only what a write is checked with goes by its spelling, as in Consul: a chain that spells the name of the entry in
    another way is checked with the entry that was there before.
    """

    store: Store
    datacenter: str
    entries: dict[Key, Entry] = field(default_factory=dict)

    def put(self, entry: Entry) -> None:
        """Write an entry; a fault where it would break a chain."""
        spelled = (entry["Kind"], entry["Name"])
        self.store.next()
        self._check(spelled, entry)
        key = _key(*spelled)
        found = self.entries.get(key)
        index = self.store.index
        created = found["CreateIndex"] if found else index
        self.entries[key] = {**entry, "CreateIndex": created, "ModifyIndex": index}
        self._touch(*key)

    def put_if(self, entry: Entry, index: int) -> bool:
        """Write an entry if it was last changed at `index`; 0: if it does not exist."""
        found = self.find(entry["Kind"], entry["Name"])
        if index != (found["ModifyIndex"] if found else 0):
            return False
        self.put(entry)
        return True

    def delete(self, kind: str, name: str) -> None:
        """Remove an entry; a fault where a chain needs it, nothing where it is not there."""
        if self.find(kind, name) is None:
            return
        self.store.next()
        self._check((kind, name), None)
        del self.entries[_key(kind, name)]
        self._touch(kind, name)

    def of_kind(self, kind: str) -> list[Entry]:
        """The entries of a kind by name; without a kind, all."""
        return [self.entries[key] for key in sorted(self.entries) if kind in ("", key[0])]

    def find(self, kind: str, name: str) -> Entry | None:
        """One entry."""
        return self.entries.get(_key(kind, name))

    def _touch(self, kind: str, name: str) -> None:
        self.store.touch(ENTRIES)
        self.store.wake(entry_topic(kind, name), kind_topic(kind))

    def _check(self, changed: Key, proposed: Entry | None) -> None:
        def find(kind: str, name: str) -> Entry | None:
            return proposed if (kind, name) == changed else self.find(kind, name)

        for name in sorted(self._affected(changed), key=lambda name: (name != changed[1], name)):
            compile_chain(name, Place(self.datacenter, self.datacenter, "trust-domain.consul"), find)

    def _affected(self, changed: Key) -> set[str]:
        """The services whose chains may change: the entry's own, and those that name it one step away."""
        kind, name = changed
        chained = [entry for (owner_kind, _), entry in self.entries.items() if owner_kind in _CHAIN_KINDS]
        if kind == PROXY:
            return {entry["Name"] for entry in chained} if name == GLOBAL else set()
        return {name} | {entry["Name"] for entry in chained if name in _related(entry)}


def _key(kind: str, name: str) -> Key:
    return kind, folded(name)


def _related(entry: Entry) -> Iterator[str]:
    """The services that an entry names."""
    for route in entry.get("Routes") or ():
        yield (route.get("Destination") or {}).get("Service") or entry["Name"]
    for split in entry.get("Splits") or ():
        yield split.get("Service") or entry["Name"]
    if entry.get("Redirect"):
        yield entry["Redirect"].get("Service") or entry["Name"]
    for failover in (entry.get("Failover") or {}).values():
        yield failover.get("Service") or entry["Name"]
