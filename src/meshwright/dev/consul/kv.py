"""Keys and values, sessions, and the locks between them.

A session holds a key when it acquired it; a key that is held is still readable and writable by all (locks are
advisory). When a session ends, by destruction, by its time to live, or because a check or the node that it depends
on is gone, the keys it holds are released or deleted, as the session's behaviour says. A key released because its
session ended badly cannot be acquired for the session's lock delay: its holder may not know yet that it lost the
lock. Time is an argument.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev.consul.catalog.models import CRITICAL
from meshwright.dev.consul.http_errors import refused

if TYPE_CHECKING:
    from meshwright.dev.consul.catalog.catalog import Catalog
    from meshwright.dev.consul.catalog.store import Store

KVS, SESSIONS, TOMBSTONES = "kvs", "sessions", "tombstones"
MIN_TTL, MAX_TTL = 10 * durations.SECOND, 24 * durations.HOUR
DEFAULT_LOCK_DELAY = 15 * durations.SECOND
MAX_LOCK_DELAY = 60 * durations.SECOND
TOMBSTONE_TTL = 900.0
"""Seconds for which Consul remembers that a key was deleted."""
TTL_MULTIPLIER = 2
"""A session lives for up to twice its time to live, as Consul promises no earlier than once."""


def key_topic(key: str) -> str:
    """The topic of one key."""
    return f"kv/{key}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A key with its value."""

    key: str
    value: bytes
    flags: int = 0
    session: str = ""
    lock_index: int = 0
    create_index: int = 0
    modify_index: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A holder of locks. Durations in nanoseconds, `ttl` as it was written."""

    id: str
    node: str
    name: str = ""
    lock_delay: int = DEFAULT_LOCK_DELAY
    behavior: str = "release"
    ttl: str = ""
    node_checks: tuple[str, ...] = ("serfHealth",)
    create_index: int = 0
    modify_index: int = 0

    def json(self) -> dict[str, Any]:
        """As `/v1/session` shows it."""
        return {
            "ID": self.id,
            "Name": self.name,
            "Node": self.node,
            "LockDelay": self.lock_delay,
            "Behavior": self.behavior,
            "TTL": self.ttl,
            "NodeChecks": list(self.node_checks) or None,
            "ServiceChecks": None,
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        }


@dataclass
class KeyValues:
    """The keys and the sessions that hold some of them."""

    store: Store
    catalog: Catalog
    pairs: dict[str, Pair] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    _expires: dict[str, float] = field(default_factory=dict)
    _delayed: dict[str, float] = field(default_factory=dict)
    graves: dict[str, int] = field(default_factory=dict)
    _dug: deque[tuple[float, int]] = field(default_factory=deque)

    # -- keys

    def put(self, key: str, value: bytes, flags: int = 0) -> None:
        """Write a key."""
        self.store.next()
        found = self.pairs.get(key)
        if found is not None and found.value == value and found.flags == flags:
            return
        self._set(found, Pair(key, value, flags, session=found.session if found else ""))

    def put_if(self, key: str, value: bytes, flags: int, index: int) -> bool:
        """Write a key if it was last changed at `index`; 0: if it does not exist."""
        found = self.pairs.get(key)
        if index != (found.modify_index if found else 0):
            return False
        self.put(key, value, flags)
        return True

    def acquire(self, key: str, value: bytes, flags: int, session: str, now: float) -> bool:
        """Write a key and hold it, if no other session holds it and no lock delay runs."""
        check_uuid(session)
        if self._delayed.get(key, now) > now:
            return False
        if session not in self.sessions:
            raise refused(f'invalid session "{session}"')
        found = self.pairs.get(key)
        if found is not None and found.session not in ("", session):
            return False
        self.store.next()
        taken = 0 if found and found.session == session else 1
        lock_index = (found.lock_index if found else 0) + taken
        self._set(found, Pair(key, value, flags, session, lock_index))
        return True

    def release(self, key: str, value: bytes, flags: int, session: str) -> bool:
        """Write a key and let go of it, if that session holds it."""
        found = self.pairs.get(key)
        if found is None or not session or found.session != session:
            return False
        self.store.next()
        self._set(found, Pair(key, value, flags))
        return True

    def delete(self, key: str) -> None:
        """Remove a key; one that is not there is no error."""
        self.store.next()
        if key in self.pairs:
            self._remove(key)

    def delete_if(self, key: str, index: int) -> bool:
        """Remove a key if it was last changed at `index`."""
        found = self.pairs.get(key)
        if found is None:
            return index == 0
        if not index or found.modify_index != index:
            return False
        self.delete(key)
        return True

    def delete_tree(self, prefix: str) -> None:
        """Remove all keys that begin so."""
        self.store.next()
        for key in [key for key in self.pairs if key.startswith(prefix)]:
            self._remove(key)

    def under(self, prefix: str) -> list[Pair]:
        """The pairs whose keys begin so, in order."""
        return [self.pairs[key] for key in sorted(self.pairs) if key.startswith(prefix)]

    def index_under(self, prefix: str) -> int:
        """The index of the last change under a prefix; of any key where nothing ever was under it."""
        found = [pair.modify_index for key, pair in self.pairs.items() if key.startswith(prefix)]
        found += [index for key, index in self.graves.items() if key.startswith(prefix)]
        return max(found) if found and prefix else self.store.last(KVS, TOMBSTONES)

    # -- sessions

    def open(self, session: Session, now: float) -> None:
        """Begin a session."""
        if self.catalog.node(session.node) is None:
            raise refused("Missing node registration")
        for check_id in session.node_checks:
            check = self.catalog.check(session.node, check_id)
            if check is None:
                raise refused(f"Missing check '{check_id}' registration")
            if check.status == CRITICAL:
                raise refused(f"Check '{check_id}' is in critical state")
        self.store.next()
        index = self.store.index
        self.sessions[session.id] = replace(session, create_index=index, modify_index=index)
        self._prolong(session, now)
        self.store.touch(SESSIONS)
        self.store.wake(session_topic(session.id))

    def renew(self, session_id: str, now: float) -> Session | None:
        """Give a session its time to live anew."""
        session = self.sessions.get(session_id)
        if session is not None:
            self._prolong(session, now)
        return session

    def close(self, session_id: str, now: float) -> None:
        """End a session: its keys are released, or deleted, as it said."""
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        self.store.next()
        self._expires.pop(session_id, None)
        for pair in [pair for pair in self.pairs.values() if pair.session == session_id]:
            if session.behavior == "delete":
                self._remove(pair.key)
            else:
                self._set(pair, replace(pair, session=""))
            if session.lock_delay:
                self._delayed[pair.key] = now + durations.seconds(min(session.lock_delay, MAX_LOCK_DELAY))
        self.store.touch(SESSIONS)
        self.store.wake(session_topic(session_id))

    def expire(self, now: float) -> None:
        """End the sessions whose time ran out or whose checks failed; forget delays that are over."""
        for session_id in [key for key, end in self._expires.items() if end <= now]:
            self.close(session_id, now)
        for session in tuple(self.sessions.values()):
            if not self._is_backed(session):
                self.close(session.id, now)
        for key in [key for key, end in self._delayed.items() if end <= now]:
            del self._delayed[key]
        self._level_graves(now)

    # -- inside

    def _level_graves(self, now: float) -> None:
        """Forget the indexes of keys that were deleted long ago: keys that come and go leave nothing behind."""
        last = self.store.last(TOMBSTONES)
        if self.graves and (not self._dug or self._dug[-1][1] < last):
            self._dug.append((now, last))
        while self._dug and now - self._dug[0][0] >= TOMBSTONE_TTL:
            _, old = self._dug.popleft()
            self.graves = {key: index for key, index in self.graves.items() if index > old}

    def _is_backed(self, session: Session) -> bool:
        checks = [self.catalog.check(session.node, check_id) for check_id in session.node_checks]
        alive = all(check is not None and check.status != CRITICAL for check in checks)
        return alive and self.catalog.node(session.node) is not None

    def _prolong(self, session: Session, now: float) -> None:
        if session.ttl:
            self._expires[session.id] = now + TTL_MULTIPLIER * durations.seconds(durations.parse(session.ttl))

    def _set(self, found: Pair | None, pair: Pair) -> None:
        index = self.store.index
        created = found.create_index if found else index
        lock_index = max(pair.lock_index, found.lock_index if found else 0)
        self.pairs[pair.key] = replace(pair, lock_index=lock_index, create_index=created, modify_index=index)
        self.graves.pop(pair.key, None)
        self.store.touch(KVS)
        self.store.wake(key_topic(pair.key))

    def _remove(self, key: str) -> None:
        del self.pairs[key]
        self.graves[key] = self.store.index
        self.store.touch(KVS, TOMBSTONES)
        self.store.wake(key_topic(key))


def session_topic(session_id: str) -> str:
    """The topic of one session."""
    return f"session/{session_id}"


def check_uuid(text: str) -> None:
    """Refuse what is not a UUID in Consul's form."""
    if len(text) != 36:  # noqa: PLR2004 - a UUID's length
        raise refused("failed session lookup: index error: UUID must be 36 characters")
    try:
        uuid.UUID(text)
    except ValueError:
        raise refused("failed session lookup: index error: invalid UUID") from None


def make_session(form: dict[str, Any], node: str) -> Session:
    """The session that `/v1/session/create` asks for."""
    behavior = form.get("Behavior") or "release"
    if behavior not in ("release", "delete"):
        raise refused(f"Invalid Behavior setting '{behavior}'")
    ttl = form.get("TTL", "")
    if ttl:
        try:
            span = durations.parse(ttl)
        except ValueError as error:
            raise refused(f"Session TTL '{ttl}' invalid: {error}") from None
        if span and not MIN_TTL <= span <= MAX_TTL:
            raise refused(f"Invalid Session TTL '{span}', must be between [10s=24h0m0s]")
        ttl = ttl if span else ""
    checks = form.get("NodeChecks") or form.get("Checks")
    return Session(
        id=str(uuid.uuid4()),
        node=form.get("Node") or node,
        name=form.get("Name", ""),
        lock_delay=lock_delay(form.get("LockDelay")),
        behavior=behavior,
        ttl=ttl,
        node_checks=("serfHealth",) if checks is None else tuple(checks),
    )


def lock_delay(value: int | None) -> int:
    """Nanoseconds; a small bare number means seconds, none the default."""
    if value is None:
        return DEFAULT_LOCK_DELAY
    if 0 < value < 1000:  # noqa: PLR2004 - Consul's guess at what was meant
        value *= durations.SECOND
    return value
