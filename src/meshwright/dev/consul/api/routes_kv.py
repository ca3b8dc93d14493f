"""`/v1/kv` and `/v1/session`."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web

from meshwright.dev.consul.api.requests import decode
from meshwright.dev.consul.decode import Field, Many, Struct
from meshwright.dev.consul.http_errors import HttpError, bad_request, refused
from meshwright.dev.consul.kv import KVS, SESSIONS, check_uuid, key_topic, make_session, session_topic
from meshwright.dev.consul.query import Read, as_json, check_datacenter, is_uint64
from meshwright.model import folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.dev.consul.api.routing import Route
    from meshwright.dev.consul.kv import Pair
    from meshwright.dev.consul.state import State

_SESSION = Struct(
    (
        Field("ID"),
        Field("Name"),
        Field("Node"),
        Field("LockDelay", "duration"),
        Field("Behavior"),
        Field("TTL"),
        Field("Checks", Many("string")),
        Field("NodeChecks", Many("string")),
        Field("ServiceChecks", "any"),
    )
)


def pair_json(pair: Pair, *, value: bool = True) -> dict[str, Any]:
    """A pair as Consul writes it."""
    encoded = base64.b64encode(pair.value).decode() if pair.value and value else None
    held = {"Session": pair.session} if pair.session else {}
    return {
        "LockIndex": pair.lock_index,
        "Key": pair.key,
        "Flags": pair.flags,
        "Value": encoded,
        **held,
        "CreateIndex": pair.create_index,
        "ModifyIndex": pair.modify_index,
    }


class KvRoutes:
    """Handlers over keys and sessions."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kv = state.kv

    def routes(self) -> list[Route]:
        """Method, path, handler."""
        return [
            ("GET", "/v1/kv/{key:.*}", self.get),
            ("PUT", "/v1/kv/{key:.*}", self.put),
            ("DELETE", "/v1/kv/{key:.*}", self.delete),
            ("PUT", "/v1/session/create", self.create),
            ("PUT", "/v1/session/destroy/{id:.*}", self.destroy),
            ("PUT", "/v1/session/renew/{id:.*}", self.renew),
            ("GET", "/v1/session/info/{id:.*}", self.info),
            ("GET", "/v1/session/list", self.list),
            ("GET", "/v1/session/node/{node:.*}", self.node),
        ]

    # -- keys

    async def get(self, request: web.Request) -> web.Response:
        """One key, the keys under a prefix, or their names."""
        key = request.match_info["key"]
        if "keys" in request.query:
            return await self._answer(request, lambda: self._names(key, request.query.get("separator", "")))
        if "recurse" in request.query:
            return await self._answer(request, lambda: self._tree(key))
        if not key:
            raise bad_request("Missing key name")
        if "raw" in request.query:
            return await self._raw(request, key)
        return await self._answer(request, lambda: self._one(key))

    def _one(self, key: str) -> Read:
        pair = self._kv.pairs.get(key)
        if pair is None:
            return Read(None, self._state.store.last(KVS), (key_topic(key),), status=404)
        return Read([pair_json(pair)], pair.modify_index, (key_topic(key),))

    def _tree(self, prefix: str) -> Read:
        pairs = self._kv.under(prefix)
        index = self._kv.index_under(prefix)
        if not pairs:
            return Read(None, index, (KVS,), status=404)
        return Read([pair_json(pair) for pair in pairs], index, (KVS,))

    def _names(self, prefix: str, separator: str) -> Read:
        found: dict[str, None] = {}
        for pair in self._kv.under(prefix):
            rest = pair.key[len(prefix) :]
            at = rest.find(separator) if separator else -1
            found[pair.key if at < 0 else prefix + rest[: at + len(separator)]] = None
        index = self._kv.index_under(prefix)
        if not found and prefix:  # of a whole store that is empty, Consul says so
            return Read(None, index, (KVS,), status=404)
        return Read(list(found), index, (KVS,))

    async def _raw(self, request: web.Request, key: str) -> web.Response:
        answer = await self._answer(request, lambda: self._one(key))
        if answer.status == 404:  # noqa: PLR2004
            return answer
        headers = {name: value for name, value in answer.headers.items() if name.startswith("X-Consul")}
        headers["X-Content-Type-Options"] = "nosniff"
        pair = self._kv.pairs.get(key)
        return web.Response(body=pair.value if pair else b"", content_type="text/plain", headers=headers)

    async def put(self, request: web.Request) -> web.Response:
        """Write a key: plainly, compared, or with a lock."""
        key = self._key(request)
        _refuse_conflict(request, ("acquire", "cas"), ("release", "cas"), ("acquire", "release"))
        body = await request.read()
        flags, now = number(request, "flags") or 0, time.monotonic()
        query = request.query
        done = True
        if "cas" in query:
            done = self._kv.put_if(key, body, flags, number(request, "cas") or 0)
        elif "acquire" in query:
            done = self._kv.acquire(key, body, flags, query["acquire"], now)
        elif "release" in query:
            if not query["release"]:
                raise refused("missing session")
            done = self._kv.release(key, body, flags, query["release"])
        else:
            self._kv.put(key, body, flags)
        return as_json(request, done)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a key or all under a prefix."""
        key = request.match_info["key"]
        _refuse_conflict(request, ("cas", "recurse"))
        check_datacenter(request, self._state.datacenter)
        if "recurse" in request.query:
            self._kv.delete_tree(key)
            return as_json(request, True)
        if not key:
            raise bad_request("Missing key name")
        if "cas" in request.query:
            return as_json(request, self._kv.delete_if(key, number(request, "cas") or 0))
        self._kv.delete(key)
        return as_json(request, True)

    # -- sessions

    async def create(self, request: web.Request) -> web.Response:
        """Begin a session."""
        check_datacenter(request, self._state.datacenter)
        body = await request.read()
        session = make_session(decode(body, _SESSION) if body else {}, self._state.node)
        self._kv.open(session, time.monotonic())
        return as_json(request, {"ID": session.id})

    async def destroy(self, request: web.Request) -> web.Response:
        """End a session."""
        check_datacenter(request, self._state.datacenter)
        session_id = _session_id(request)
        check_uuid(session_id)
        self._kv.close(session_id, time.monotonic())
        return as_json(request, True)

    async def renew(self, request: web.Request) -> web.Response:
        """Give a session its time to live anew."""
        check_datacenter(request, self._state.datacenter)
        session_id = _session_id(request)
        check_uuid(session_id)
        session = self._kv.renew(session_id, time.monotonic())
        if session is None:
            raise HttpError(404, f"Session id '{session_id}' not found")
        return as_json(request, [session.json()])

    async def info(self, request: web.Request) -> web.Response:
        """One session in a list, or an empty list."""
        session_id = _session_id(request)
        check_uuid(session_id)

        def read() -> Read:
            found = self._kv.sessions.get(session_id)
            index = found.modify_index if found else self._state.store.last(SESSIONS)
            return Read([found.json()] if found else [], index, (session_topic(session_id),))

        return await self._answer(request, read)

    async def list(self, request: web.Request) -> web.Response:
        """Every session."""
        return await self._answer(request, lambda: self._sessions(None))

    async def node(self, request: web.Request) -> web.Response:
        """The sessions of a node."""
        node = request.match_info["node"]
        if not node:
            raise bad_request("Missing node name")
        return await self._answer(request, lambda: self._sessions(node))

    def _sessions(self, node: str | None) -> Read:
        found = [
            session
            for _, session in sorted(self._kv.sessions.items())
            if node is None or folded(node) == folded(session.node)
        ]
        return Read([session.json() for session in found], self._state.store.last(SESSIONS), (SESSIONS,))

    # -- inside

    async def _answer(self, request: web.Request, read: Callable[[], Read]) -> web.Response:
        check_datacenter(request, self._state.datacenter)
        return await self._state.waiting.answer(request, read)

    def _key(self, request: web.Request) -> str:
        check_datacenter(request, self._state.datacenter)
        key = request.match_info["key"]
        if not key:
            raise bad_request("Missing key name")
        return key


def _session_id(request: web.Request) -> str:
    found = request.match_info["id"]
    if not found:
        raise bad_request("Missing session")
    return found


def number(request: web.Request, name: str) -> int | None:
    """A query parameter as an unsigned integer, None where it is absent."""
    text = request.query.get(name)
    if text is None:
        return None
    if not is_uint64(text):
        reason = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
        raise refused(f'strconv.ParseUint: parsing "{text}": {reason}')
    return int(text)


def _refuse_conflict(request: web.Request, *pairs: tuple[str, str]) -> None:
    for first, second in pairs:
        if first in request.query and second in request.query:
            raise bad_request(f"Conflicting flags: {urlencode(sorted(request.query.items()))}")
