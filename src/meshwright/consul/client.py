"""The client: what the mesh asks of Consul, typed. Each method is one request; nothing is retried here.

Methods that read the catalog, the KV store or the config entries take a `Blocking` and answer with the index for
the next one: give them to `watch`. Methods of the agent (`register`, `agent_service`, ...) speak to the agent at
that address about the instances that registered with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from meshwright import durations
from meshwright.consul import decode, encode
from meshwright.consul.transport import Transport
from meshwright.consul.values import Indexed
from meshwright.errors import ValidationError, Violation
from meshwright.model import Health, path_problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from meshwright.config import ConsulConfig
    from meshwright.consul.values import AgentService, Blocking, CheckState, KvPair, Registration
    from meshwright.model import Instance, InstanceId, ServiceName


class Consul:
    """One Consul, as `config` names it. An async context manager.

    Every method raises `ConsulError` where Consul answers with an error and `UnreachableError` where it does not
    answer, and `ValidationError` for a name or key that cannot be part of a path: Consul would take it for another. So
    does the constructor for an address, a token or TLS files that cannot be used.
    """

    def __init__(self, config: ConsulConfig) -> None:
        self._http = Transport(config)

    @property
    def address(self) -> str:
        """Where this client looks for Consul, for messages."""
        return str(self._http.endpoint)

    async def __aenter__(self) -> Consul:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    # The catalog and its health

    async def services(self, blocking: Blocking | None = None) -> Indexed[dict[ServiceName, tuple[str, ...]]]:
        """The names of all services with all their tags, Consul's own service included."""
        answer = await self._http.read("/v1/catalog/services", blocking=blocking)
        return Indexed(answer.parse(decode.services), answer.index)

    async def instances(
        self,
        service: str,
        *,
        passing: bool = False,
        filter: str = "",  # noqa: A002 (Consul's word)
        blocking: Blocking | None = None,
    ) -> Indexed[tuple[Instance, ...]]:
        """The instances of a service; `filter` is an expression of Consul's filter language over the entry."""
        params = ({"passing": "1"} if passing else {}) | ({"filter": filter} if filter else {})
        answer = await self._http.read(f"/v1/health/service/{_quoted(service)}", params, blocking=blocking)
        return Indexed(answer.parse(decode.instances), answer.index)

    async def check_states(self, blocking: Blocking | None = None) -> Indexed[tuple[CheckState, ...]]:
        """Every check of every service and node: one query that wakes up when any health changes."""
        answer = await self._http.read("/v1/health/state/any", blocking=blocking)
        return Indexed(answer.parse(decode.check_states), answer.index)

    # Config entries

    async def discovery_chain(self, service: str, blocking: Blocking | None = None) -> Indexed[dict[str, Any]]:
        """Router, splitter and resolvers of a service as Consul compiles them, in Consul's JSON names."""
        answer = await self._http.read(f"/v1/discovery-chain/{_quoted(service)}", blocking=blocking)
        return Indexed(answer.parse(lambda document: dict(document["Chain"])), answer.index)

    async def config_entries(self, kind: str, blocking: Blocking | None = None) -> Indexed[tuple[dict[str, Any], ...]]:
        """All config entries of a kind, in Consul's JSON names."""
        answer = await self._http.read(f"/v1/config/{_quoted(kind)}", blocking=blocking)
        return Indexed(answer.parse(tuple), answer.index)

    async def config_entry(self, kind: str, name: str) -> dict[str, Any] | None:
        answer = await self._http.read(f"/v1/config/{_quoted(kind)}/{_quoted(name)}", missing_ok=True)
        entry: dict[str, Any] | None = None if answer.missing else answer.json()
        return entry

    async def put_config_entry(self, entry: Mapping[str, Any], *, cas: int | None = None) -> bool:
        """Write an entry. With `cas`, the ModifyIndex it must still have (0: must not exist); False if it has not."""
        answer = await self._http.request("PUT", "/v1/config", _cas(cas), body=_json(entry))
        return bool(answer.json())

    async def delete_config_entry(self, kind: str, name: str) -> None:
        """Delete an entry; nothing happens where there is none."""
        await self._http.request("DELETE", f"/v1/config/{_quoted(kind)}/{_quoted(name)}")

    # The agent

    async def register(self, registration: Registration, *, status: Health = Health.PASSING) -> None:
        """Register an instance, or replace the one with its id. `status`: what its check says until it first runs."""
        body = _json(encode.registration(registration, status))
        await self._http.request("PUT", "/v1/agent/service/register", {"replace-existing-checks": "true"}, body=body)

    async def deregister(self, instance: InstanceId) -> bool:
        """Remove an instance; False where the agent did not have it."""
        answer = await self._http.request("PUT", f"/v1/agent/service/deregister/{_quoted(instance)}", missing_ok=True)
        return not answer.missing

    async def agent_services(self) -> dict[InstanceId, AgentService]:
        """The instances that registered with this agent."""
        return (await self._http.read("/v1/agent/services")).parse(decode.agent_services)

    async def agent_service(self, instance: InstanceId, *, known: str = "", wait: float = 300.0) -> AgentService | None:
        """One instance of this agent, or None. With `known`, its content hash: waits until it has
        changed, for `wait` seconds at most."""
        params = {"hash": known, "wait": durations.of_seconds(wait)} if known else {}
        path = f"/v1/agent/service/{_quoted(instance)}"
        answer = await self._http.request("GET", path, params, wait=wait if known else None, missing_ok=True)
        return None if answer.missing else answer.parse(decode.agent_service)

    async def leader(self) -> str:
        """The address of the leading server; empty while there is none."""
        return str((await self._http.read("/v1/status/leader")).json())

    async def maintenance(self, instance: InstanceId, enable: bool, reason: str = "") -> None:
        """Take an instance of this agent out of service, or back."""
        params = {"enable": "true" if enable else "false"} | ({"reason": reason} if reason else {})
        await self._http.request("PUT", f"/v1/agent/service/maintenance/{_quoted(instance)}", params)

    # KV

    async def kv_get(self, key: str, blocking: Blocking | None = None) -> Indexed[KvPair | None]:
        answer = await self._http.read(_kv(key), blocking=blocking, missing_ok=True)
        return Indexed(None if answer.missing else answer.parse(decode.kv_pairs)[0], answer.index)

    async def kv_list(self, prefix: str, blocking: Blocking | None = None) -> Indexed[tuple[KvPair, ...]]:
        """All keys that begin with `prefix`, sorted."""
        answer = await self._http.read(_kv(prefix), {"recurse": "true"}, blocking=blocking, missing_ok=True)
        return Indexed(() if answer.missing else answer.parse(decode.kv_pairs), answer.index)

    async def kv_put(self, key: str, value: bytes, *, cas: int | None = None) -> bool:
        """Write a key. With `cas`, the modify index it must still have (0: must not exist); False if it has not."""
        return await self._kv_write(key, value, _cas(cas))

    async def kv_delete(self, key: str, *, recurse: bool = False, cas: int | None = None) -> bool:
        """Delete a key, or with `recurse` all that begin with it. True also where there is none."""
        params = _cas(cas) | ({"recurse": "true"} if recurse else {})
        return bool((await self._http.request("DELETE", _kv(key), params)).json())

    async def _kv_write(self, key: str, value: bytes, params: Mapping[str, str]) -> bool:
        return bool((await self._http.request("PUT", _kv(key), params, body=value)).json())


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _quoted(name: str) -> str:
    return quote(_usable(name), safe="")


def _kv(key: str) -> str:
    return f"/v1/kv/{quote(key and _usable(key), safe='/')}"


def _usable(name: str) -> str:
    if problem := path_problem(name):
        raise ValidationError("what Consul is asked for", [Violation(repr(name), problem)])
    return name


def _cas(index: int | None) -> dict[str, str]:
    return {} if index is None else {"cas": str(index)}
