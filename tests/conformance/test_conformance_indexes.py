"""Which indexes each change to a registration moves and whom it wakes, in the dev Consul as in Consul.

To tell that something stays still, both are given something else to do afterwards, and the test waits until that has
arrived: Consul's agent tells its servers of changes in passes, one after the other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from support.consul.servers import ConsulServer, dev_consul, find_consul, real_consul
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PATHS = {
    "health": "health/service/{name}",
    "catalog": "catalog/service/{name}",
    "checks": "health/checks/{name}",
    "state": "health/state/any",
    "services": "catalog/services",
}
ALL = frozenset(PATHS)
CHECKS = frozenset({"checks", "state"})
HEALTH = CHECKS | {"health"}
INSTANCES = frozenset({"health", "catalog", "services"})
NOTHING: frozenset[str] = frozenset()

CHECK = {"TTL": "1h", "Status": "passing"}
BODY = {"Port": 1, "Address": "127.0.0.1", "Meta": {"a": "1"}, "Tags": ["t"]}
CHECKED = {**BODY, "Check": CHECK}

# These servers are this module's own: no foreign checks move the indexes of all checks.


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev_server() -> AsyncIterator[ConsulServer]:
    """The dev Consul."""
    async with dev_consul() as server:
        await _lose_a_service(server)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def real_server() -> AsyncIterator[ConsulServer]:
    """The real Consul, where there is one."""
    if find_consul() is None:
        pytest.skip("no real Consul here: neither on PATH nor fetched by scripts/tools.d/consul.sh")
    async with real_consul() as server:
        await _lose_a_service(server)
        yield server


async def _lose_a_service(server: ConsulServer) -> None:
    """What a service that is not there has for an index depends on whether one ever went."""
    node = {"Node": "gone", "Address": "10.0.0.1"}
    async with httpx.AsyncClient(base_url=f"http://{server.address}/v1/") as http:
        for path, item in (("register", {"Service": {"Service": "gone"}}), ("deregister", {"ServiceID": "gone"})):
            answer = await http.put(f"catalog/{path}", json=node | item)
            assert answer.status_code == 200, answer.text


@dataclass
class Watcher:
    """Reads around one service, and what changed about them since `begin`."""

    http: httpx.AsyncClient
    name: str
    before: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, asyncio.Task[httpx.Response]] = field(default_factory=dict)

    async def put(self, path: str, body: object = None) -> None:
        answer = await self.http.put(path.format(name=self.name), json=body)
        assert answer.status_code == 200, answer.text

    async def register(self, body: dict[str, Any], service: str = "{name}") -> None:
        named = {"Name": service.format(name=self.name), "ID": self.name}
        await self.put("agent/service/register", {**named, **body})

    async def begin(self) -> None:
        """Note the indexes, and block on each of them: the requests are sent, and others after them are answered."""
        for what in PATHS:
            self.before[what] = await self.index(what)
        for what in PATHS:
            await self._block(what)
        for what in PATHS:
            assert await self.index(what) == self.before[what]

    async def _block(self, what: str) -> None:
        sent = asyncio.Event()

        async def trace(event: str, info: object) -> None:
            del info
            if event == "http11.send_request_body.complete":
                sent.set()

        path, query = PATHS[what].format(name=self.name), {"index": self.before[what], "wait": "60s"}
        self.waiting[what] = asyncio.create_task(self.http.get(path, params=query, extensions={"trace": trace}))
        await sent.wait()

    async def index(self, what: str) -> int:
        return int((await self.http.get(PATHS[what].format(name=self.name))).headers["X-Consul-Index"])

    async def moved(self) -> set[str]:
        return {what for what, index in self.before.items() if await self.index(what) != index}

    def woken(self) -> set[str]:
        return {what for what, task in self.waiting.items() if task.done()}

    async def end(self) -> None:
        for task in self.waiting.values():
            task.cancel()
        await asyncio.gather(*self.waiting.values(), return_exceptions=True)


@pytest.fixture
async def watcher(http: httpx.AsyncClient, name: str) -> AsyncIterator[Watcher]:
    """A watcher; what the agent has of its service afterwards is removed."""
    http.timeout = httpx.Timeout(70)
    watcher = Watcher(http, name)
    yield watcher
    await watcher.end()
    await http.put("agent/maintenance", params={"enable": "false"})
    for kind in ("service", "check"):
        for key in (await http.get(f"agent/{kind}s")).json():
            await http.put(f"agent/{kind}/deregister/{key}")


class Sentinel:
    """Something else that happens after the change under test, in two steps: the second is told in a later pass than
    anything before the first."""

    moves: frozenset[str]
    """What it moves itself, so that it tells nothing about that."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.name = f"zz-{watcher.name}"

    async def prepare(self) -> None:
        await self._register(1)

    async def passes(self) -> None:
        raise NotImplementedError

    async def _register(self, port: int) -> None:
        await self.watcher.put("agent/service/register", {"Name": self.name, "Port": port})

        async def arrived() -> bool:
            rows = (await self.watcher.http.get(f"catalog/service/{self.name}")).json()
            return [row["ServicePort"] for row in rows] == [port]

        await eventually(arrived)


class ServiceSentinel(Sentinel):
    """A service that changes twice."""

    moves = frozenset({"services"})

    async def passes(self) -> None:
        await self._register(2)
        await self._register(3)


class CheckSentinel(Sentinel):
    """A check that changes twice."""

    moves = CHECKS

    async def prepare(self) -> None:
        await super().prepare()
        body = {"Name": self.name, "ID": self.name, "ServiceID": self.name, **CHECK}
        await self.watcher.put("agent/check/register", body)

    async def passes(self) -> None:
        await self.watcher.put(f"agent/check/fail/{self.name}")
        await self._becomes("critical")
        await self.watcher.put(f"agent/check/pass/{self.name}")
        await self._becomes("passing")

    async def _becomes(self, status: str) -> None:
        async def arrived() -> bool:
            rows = (await self.watcher.http.get(f"health/checks/{self.name}")).json()
            return [row["Status"] for row in rows] == [status]

        await eventually(arrived)


@dataclass(frozen=True)
class Case:
    """What is there, what is done, and what comes of it. `asleep`: the index moves and no reader wakes."""

    title: str
    there: Sequence[tuple[str, object]]
    done: tuple[str, object]
    wakes: frozenset[str]
    asleep: frozenset[str] = NOTHING


def registered(body: dict[str, Any], service: str = "{name}") -> tuple[str, object]:
    return "agent/service/register", {"Name": service, **body}


def filled(value: Any, name: str) -> Any:
    """The value with every `{name}` in it replaced."""
    if isinstance(value, dict):
        return {key: filled(item, name) for key, item in value.items()}
    return value.replace("{name}", name) if isinstance(value, str) else value


MAINTAINED = ("agent/service/maintenance/{name}?enable=true", None)
OWN_CHECK = ("agent/check/register", {"Name": "c", "ID": "{name}-c", "ServiceID": "{name}", **CHECK})
NODE_CHECK = ("agent/check/register", {"Name": "c", "ID": "{name}-c", **CHECK})
OTHER = "aa-{name}"

CASES = [
    Case("meta", [registered(BODY)], registered({**BODY, "Meta": {"a": "2"}}), INSTANCES),
    Case("meta-with-check", [registered(CHECKED)], registered({**CHECKED, "Meta": {"a": "2"}}), ALL),
    Case("meta-check-left-out", [registered(CHECKED)], registered({**BODY, "Meta": {"a": "2"}}), INSTANCES),
    Case("port", [registered(BODY)], registered({**BODY, "Port": 2}), INSTANCES),
    Case("port-with-check", [registered(CHECKED)], registered({**CHECKED, "Port": 2}), ALL),
    Case("tags-with-check", [registered(CHECKED)], registered({**CHECKED, "Tags": ["u"]}), ALL),
    Case("tags-check-left-out", [registered(CHECKED)], registered({**BODY, "Tags": ["u"]}), INSTANCES),
    Case("equal", [registered(BODY)], registered(BODY), NOTHING),
    Case("equal-with-check", [registered(CHECKED)], registered(CHECKED), CHECKS),
    Case("first", [], registered(BODY), INSTANCES),
    Case("first-with-check", [], registered(CHECKED), ALL),
    Case("another-service", [registered(CHECKED)], registered(BODY, OTHER), frozenset({"services"})),
    Case(
        "anothers-check",
        [registered(CHECKED), registered(BODY, OTHER)],
        registered(CHECKED, OTHER),
        frozenset({"state"}),
        frozenset({"checks"}),
    ),
    Case("deregister", [registered(BODY)], ("agent/service/deregister/{name}", None), INSTANCES, CHECKS),
    Case("deregister-with-check", [registered(CHECKED)], ("agent/service/deregister/{name}", None), ALL),
    Case("status", [registered(CHECKED)], ("agent/check/warn/service:{name}", None), HEALTH, frozenset({"catalog"})),
    Case("output", [registered(CHECKED)], ("agent/check/pass/service:{name}?note=3ms", None), NOTHING),
    Case("same-beat", [registered(CHECKED)], ("agent/check/pass/service:{name}", None), NOTHING),
    Case("check-registered", [registered(BODY)], OWN_CHECK, HEALTH, frozenset({"catalog"})),
    Case("check-registered-again", [registered(BODY), OWN_CHECK], OWN_CHECK, CHECKS),
    Case(
        "check-gone",
        [registered(BODY), OWN_CHECK],
        ("agent/check/deregister/{name}-c", None),
        HEALTH,
        frozenset({"catalog"}),
    ),
    Case("maintenance-on", [registered(CHECKED)], MAINTAINED, HEALTH, frozenset({"catalog"})),
    Case(
        "maintenance-off",
        [registered(CHECKED), MAINTAINED],
        ("agent/service/maintenance/{name}?enable=false", None),
        HEALTH,
        frozenset({"catalog"}),
    ),
    Case(
        "node-check",
        [registered(CHECKED)],
        NODE_CHECK,
        frozenset({"health", "state"}),
        frozenset({"catalog", "checks"}),
    ),
    Case(
        "node-check-gone",
        [registered(CHECKED), NODE_CHECK],
        ("agent/check/deregister/{name}-c", None),
        frozenset({"health", "state"}),
        frozenset({"catalog", "checks", "services"}),
    ),
    Case(
        "node-maintenance",
        [registered(CHECKED)],
        ("agent/maintenance?enable=true", None),
        frozenset({"health", "state"}),
        frozenset({"catalog", "checks"}),
    ),
]


@pytest.mark.parametrize("sentinel", [ServiceSentinel, CheckSentinel], ids=["service", "check"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
async def test_a_change_moves_and_wakes_what_it_does_in_consul(
    watcher: Watcher, case: Case, sentinel: type[Sentinel]
) -> None:
    after = sentinel(watcher)
    for path, body in case.there:
        await watcher.put(path, filled(body, watcher.name))
    await after.prepare()
    await after.passes()
    await watcher.begin()

    await watcher.put(case.done[0], filled(case.done[1], watcher.name))

    async def has_happened() -> bool:
        return case.wakes <= watcher.woken() and case.wakes | case.asleep <= await watcher.moved()

    await eventually(has_happened, message=f"{sorted(case.wakes)} wake, {sorted(case.asleep)} move")
    await after.passes()
    assert await watcher.moved() - after.moves == (case.wakes | case.asleep) - after.moves
    assert watcher.woken() - after.moves == case.wakes - after.moves


async def rows(watcher: Watcher, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await watcher.http.get(path.format(name=watcher.name))).json()
    return found


async def test_a_new_name_under_an_old_id_wakes_readers_of_the_new_name_and_not_of_the_old(watcher: Watcher) -> None:
    after = ServiceSentinel(watcher)
    await watcher.register(CHECKED)
    await after.prepare()
    await after.passes()
    await watcher.begin()
    new = f"health/service/new-{watcher.name}"
    index = (await watcher.http.get(new)).headers["X-Consul-Index"]
    waiting = asyncio.create_task(watcher.http.get(new, params={"index": index, "wait": "60s"}))

    await watcher.register(CHECKED, "new-{name}")

    assert [row["Service"]["ID"] for row in (await waiting).json()] == [watcher.name]
    await eventually(lambda: {"checks", "state", "services"} <= watcher.woken())
    await after.passes()
    assert watcher.woken() == {"checks", "state", "services"}
    assert await rows(watcher, "health/service/{name}") == []
    assert await watcher.index("health") < watcher.before["health"]
    assert [row["ServiceName"] for row in await rows(watcher, "health/checks/new-{name}")] == [f"new-{watcher.name}"]


async def test_a_check_that_was_left_out_keeps_the_old_name_and_tags_until_it_changes(watcher: Watcher) -> None:
    await watcher.register(CHECKED)
    await watcher.register({**BODY, "Tags": ["u"]}, "new-{name}")

    async def renamed() -> list[dict[str, Any]]:
        return await rows(watcher, "health/service/new-{name}")

    [row] = await eventually(renamed)
    [check] = [check for check in row["Checks"] if check["ServiceID"]]
    assert (check["ServiceName"], check["ServiceTags"]) == (watcher.name, ["t"])

    await watcher.put("agent/check/warn/service:{name}")

    async def changed() -> list[dict[str, Any]]:
        return await rows(watcher, "health/checks/new-{name}")

    [check] = await eventually(changed)
    assert (check["Status"], check["ServiceTags"]) == ("warning", ["u"])


async def test_a_check_that_goes_to_another_service_wakes_its_new_readers_and_not_its_old(watcher: Watcher) -> None:
    after = ServiceSentinel(watcher)
    shared = {"Check": {**CHECK, "CheckID": f"{watcher.name}-c"}}
    await watcher.register({**BODY, **shared})
    await watcher.put("agent/service/register", {**BODY, "Name": f"aa-{watcher.name}"})
    await after.prepare()
    await after.passes()
    await watcher.begin()
    other = f"health/service/aa-{watcher.name}"
    index = (await watcher.http.get(other)).headers["X-Consul-Index"]
    waiting = asyncio.create_task(watcher.http.get(other, params={"index": index, "wait": "60s"}))

    await watcher.put("agent/service/register", {**BODY, "Name": f"aa-{watcher.name}", **shared})

    [row] = (await waiting).json()
    assert f"{watcher.name}-c" in {check["CheckID"] for check in row["Checks"]}
    await eventually(lambda: watcher.woken() >= CHECKS)
    await after.passes()
    assert watcher.woken() - after.moves == CHECKS
    [row] = await rows(watcher, "health/service/{name}")
    assert f"{watcher.name}-c" not in {check["CheckID"] for check in row["Checks"]}


@pytest.mark.parametrize("path", ["agent/service/register", "agent/service/register?replace-existing-checks=true"])
async def test_a_check_that_is_registered_again_keeps_status_output_and_index(watcher: Watcher, path: str) -> None:
    await watcher.put("agent/service/register", {"Name": watcher.name, "Check": CHECK})
    await watcher.put("agent/check/warn/service:{name}?note=odd")

    async def warned() -> list[dict[str, Any]]:
        return [row for row in await rows(watcher, "health/checks/{name}") if row["Status"] == "warning"]

    [before] = await eventually(warned)
    index = await watcher.index("state")

    await watcher.put(path, {"Name": watcher.name, "Check": CHECK})

    async def written() -> bool:
        return await watcher.index("state") > index

    await eventually(written)
    assert await rows(watcher, "health/checks/{name}") == [before]


async def test_a_check_of_the_same_id_keeps_its_status_too(watcher: Watcher) -> None:
    body = {"Name": "c", "ID": f"{watcher.name}-c", "ServiceID": watcher.name, "TTL": "1h"}
    await watcher.register(BODY)
    await watcher.put("agent/check/register", {**body, "Status": "passing"})
    await watcher.put("agent/check/register", {**body, "Status": "warning", "Notes": "changed"})

    async def changed() -> list[dict[str, Any]]:
        return [row for row in await rows(watcher, "health/checks/{name}") if row["Notes"] == "changed"]

    [row] = await eventually(changed)
    assert row["Status"] == "passing"


async def test_a_node_that_is_not_there_has_no_index(watcher: Watcher) -> None:
    answer = await watcher.http.get(f"catalog/node/{watcher.name}")
    assert (answer.json(), answer.headers["X-Consul-Index"]) == (None, "1")
