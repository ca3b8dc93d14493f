"""`/v1/config` and `/v1/discovery-chain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.dev.consul.api.routes_kv import number
from meshwright.dev.consul.config_entries import entries
from meshwright.dev.consul.config_entries.chains import Overrides, Place, compile_chain
from meshwright.dev.consul.config_entries.graph import ENTRIES, entry_topic, kind_topic
from meshwright.dev.consul.decode import Field, Struct, parse_json, weak
from meshwright.dev.consul.http_errors import HttpError, bad_request
from meshwright.dev.consul.query import Read, as_json, check_datacenter

if TYPE_CHECKING:
    from aiohttp import web

    from meshwright.dev.consul.api.routing import Route
    from meshwright.dev.consul.config_entries.entries import Entry
    from meshwright.dev.consul.state import State

_OVERRIDES = Struct(
    (
        Field("OverrideMeshGateway", Struct((Field("Mode"),))),
        Field("OverrideProtocol"),
        Field("OverrideConnectTimeout", "duration"),
    )
)
_GATEWAY_MODES = ("", "none", "local", "remote")


class ConfigRoutes:
    """Handlers over config entries and the chains made of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._entries = state.entries

    def routes(self) -> list[Route]:
        """Method, path, handler."""
        return [
            ("PUT", "/v1/config", self.put),
            ("GET", "/v1/config/{path:.*}", self.get),
            ("DELETE", "/v1/config/{path:.*}", self.delete),
            ("GET", "/v1/discovery-chain/{name:.*}", self.chain),
            ("POST", "/v1/discovery-chain/{name:.*}", self.chain),
        ]

    async def put(self, request: web.Request) -> web.Response:
        """Write an entry."""
        check_datacenter(request, self._state.datacenter)
        entry = entries.read(await request.read())
        if request.query.get("cas"):
            return as_json(request, self._entries.put_if(entry, number(request, "cas") or 0))
        self._entries.put(entry)
        return as_json(request, True)

    async def get(self, request: web.Request) -> web.Response:
        """One entry, or all of a kind."""
        kind, slash, name = request.match_info["path"].partition("/")
        check_datacenter(request, self._state.datacenter)
        try:
            if kind:
                entries.known_kind(kind)
        except ValueError as error:
            raise HttpError(500, str(error)) from None
        read = (lambda: self._one(kind, name)) if slash else (lambda: self._all(kind))
        return await self._state.waiting.answer(request, read)

    def _one(self, kind: str, name: str) -> Read:
        index, topics = self._state.store.last(ENTRIES), (entry_topic(kind, name),)
        found = self._entries.find(kind, name)
        if found is None:
            text = f'Config entry not found for "{kind}" / "{name}"'
            return Read(None, index, topics, status=404, text=text)
        return Read(entries.show(found), index, topics)

    def _all(self, kind: str) -> Read:
        found = [entries.show(entry) for entry in self._entries.of_kind(kind)]
        return Read(found, self._state.store.last(ENTRIES), (kind_topic(kind) if kind else ENTRIES,))

    async def delete(self, request: web.Request) -> web.Response:
        """Remove an entry."""
        check_datacenter(request, self._state.datacenter)
        kind, _, name = request.match_info["path"].partition("/")
        if not kind or not name:
            raise HttpError(404, "Must provide both a kind and name to delete")
        try:
            entries.known_kind(kind)
        except ValueError as error:
            raise bad_request(str(error)) from None
        self._entries.delete(kind, name)
        return as_json(request, {})

    async def chain(self, request: web.Request) -> web.Response:
        """The compiled chain of a service; POST carries overrides."""
        check_datacenter(request, self._state.datacenter)
        name = request.match_info["name"]
        if not name:
            raise bad_request("Bad request: Missing chain name")
        overrides = _overrides(await request.read()) if request.method == "POST" else Overrides()
        datacenter = request.query.get("compile-dc") or self._state.datacenter
        return await self._state.waiting.answer(request, lambda: self._compiled(name, datacenter, overrides))

    def _compiled(self, name: str, datacenter: str, overrides: Overrides) -> Read:
        topics: set[str] = set()

        def find(kind: str, service: str) -> Entry | None:
            topics.add(entry_topic(kind, service))
            return self._entries.find(kind, service)

        place = Place(datacenter, self._state.datacenter, self._state.identity.trust_domain)
        chain = compile_chain(name, place, find, overrides)
        return Read({"Chain": chain}, self._state.store.last(ENTRIES), tuple(sorted(topics)))


def _overrides(body: bytes) -> Overrides:
    try:
        value = parse_json(body)
    except ValueError as error:
        raise bad_request(f"Bad request: Request decoding failed: {error}") from None
    if value is None:
        return Overrides()
    if isinstance(value, dict):  # what it does not know it ignores here
        value = {key: item for key, item in value.items() if key.lower() in _OVERRIDES.by_any_key}
    form = weak(value, _OVERRIDES)
    mode = form.get("OverrideMeshGateway", {}).get("Mode", "")
    if mode not in _GATEWAY_MODES:
        raise bad_request("Invalid OverrideMeshGateway.Mode parameter")
    return Overrides(form.get("OverrideProtocol", ""), form.get("OverrideConnectTimeout", 0), mode)
