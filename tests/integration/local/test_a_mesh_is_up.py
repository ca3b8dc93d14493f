"""`up` with the mesh's own parts and a service of the runtime, and the commands that look into the mesh."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from meshwright.local.planner import consul_probe
from meshwright.local.planner.component_source import ComponentSource
from support.consul.servers import ConsulServer, dev_consul, find_consul, real_consul
from support.mesh.up import an_up, environment, own_ports
from support.processes import promised_port, python
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.mesh.up import Up

TESTS = Path(__file__).resolve().parents[2]
MESH = f"""
[environment]
PYTHONPATH = "{TESTS}"
[processes.target]
command = ["{sys.executable}", "-m", "programs.target"]
version = "1.0.0"
replicas = 2
"""


@contextlib.asynccontextmanager
async def a_mesh(folder: Path, *arguments: str) -> AsyncIterator[Up]:
    """A mesh with two instances of the target, on unused ports."""
    async with an_up(folder, MESH, *own_ports(), *arguments, mesh=True) as up:
        yield up


async def test_a_service_is_called_seen_and_disturbed_through_the_mesh(tmp_path: Path) -> None:
    async with a_mesh(tmp_path) as up:
        await up.until_up()
        assert "the dev Consul, at 127.0.0.1:" in up.shown
        code, text = await up.do("call", "target", "Add", '{"a": 1, "b": 2}')
        answer, who = text.splitlines()
        assert (code, json.loads(answer)) == (0, {"value": 3.0})
        assert who.startswith(("target-1 1.0.0, ", "target-2 1.0.0, "))

        shown = json.loads((await up.do("get", "target", "--json"))[1])
        assert shown["versions"] == {"1.0.0": 2}
        assert [row["instance"] for row in shown["instances"]] == ["target-1", "target-2"]
        assert shown["problems"] == []
        assert "to target.default.dc1" in (await up.do("get", "target"))[1]
        code, text = await up.do("get", "targett")
        assert code == 2
        assert text == "error: no service is called targett; did you mean target?\n"
        for arguments in (
            ("fault", "set", "targett", "--delay", "1s"),
            ("fault", "clear", "targett"),
            ("scale", "targett", "3"),
        ):
            code, text = await up.do(*arguments)
            assert (code != 0, text) == (True, "error: no service is called targett; did you mean target?\n")
        assert "no service is called targett; did you mean target?" in (await up.do("call", "targett", "Add"))[1]
        assert await up.do("kill", "target") == (
            1,
            "error: target is a service, not an instance; its instances are target-1, target-2\n",
        )
        code, text = await up.do("kill", "target-3")
        assert (code, text.startswith("error: no instance is called target-3; did you mean target-")) == (1, True)
        code, text = await up.do("logs", "tarjet")
        assert text == "error: no service or instance is called tarjet; did you mean target?\n"
        code, text = await up.do("xds", "dump", "targett")
        assert text.startswith(
            "no service is called targett; did you mean target? Calls to it fail at once.\nlistener "
        )
        code, text = await up.do("rollout", "get", "target")
        assert text == "error: no rollout is called target; there are none\n"

        rows = json.loads((await up.do("ps", "--json"))[1])
        assert {row["instance"]: row["health"] for row in rows if row["service"] == "target"} == {
            "target-1": "passing",
            "target-2": "passing",
        }

        said = await up.do("fault", "set", "target", "--abort", "RESOURCE_EXHAUSTED")
        assert said == (0, "target: 100 % of calls end with RESOURCE_EXHAUSTED\n")
        assert await up.do("fault", "list") == said

        async def disturbed() -> bool:
            code, text = await up.do("call", "target", "Add")
            return code == 1 and text == "error: RESOURCE_EXHAUSTED: Fault injected\n"

        await eventually(disturbed, timeout=20)
        assert await up.do("fault", "clear", "TARGET") == (0, "target: no faults\n")
        assert await up.do("fault", "list") == (0, "no faults are set\n")

        dump = json.loads((await up.do("xds", "dump", "target", "--json"))[1])
        assert dump["known"] is True
        assert {resource["type"] for resource in dump["resources"]} == {"listener", "route", "cluster", "endpoints"}


async def test_changes_are_watched_and_a_broken_policy_is_a_problem_of_its_service(tmp_path: Path) -> None:
    async with a_mesh(tmp_path) as up:
        await up.until_up()
        watcher = await asyncio.create_subprocess_exec(
            *python("-um", "meshwright.cli", "xds", "watch", "target", "--json"),
            cwd=tmp_path,
            env={**os.environ, **environment(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )

        async def change() -> dict[str, Any]:
            assert watcher.stdout is not None
            found: dict[str, Any] = json.loads(await asyncio.wait_for(watcher.stdout.readline(), 20))
            return found

        try:
            first = [await change() for _ in range(4)]
            assert [one["what"] for one in first] == ["added"] * 4
            assert [one["type"] for one in first] == ["listener", "route", "cluster", "endpoints"]
            await up.do("scale", "target", "1")
            while (seen := await change())["type"] != "endpoints":
                pass
            assert (seen["what"], seen["name"]) == ("changed", first[3]["name"])
            assert any(line.startswith("-") for line in seen["diff"])
        finally:
            watcher.terminate()
            await asyncio.wait_for(watcher.wait(), 20)

        address = f"http://{up.record.addresses['registry']}"
        async with httpx.AsyncClient(base_url=address, trust_env=False) as consul:
            await consul.put("/v1/kv/meshwright/policy/target", json={"max_concurrent_requests": 7})
            await until(up, lambda shown: shown["policy"] == {"max_concurrent_requests": 7})
            policy = {"max_concurrent_requests": "many"}
            await consul.put("/v1/kv/meshwright/policy/target", json=policy)
            await consul.put("/v1/kv/meshwright/policy/targetview", json=policy)
        shown = await until(up, lambda shown: bool(shown["problems"]))
        assert (shown["policy"], shown["refused_policy"]) == ({"max_concurrent_requests": 7}, policy)
        assert [problem.partition(":")[0] for problem in shown["problems"]] == [
            "meshwright/policy/target max_concurrent_requests"
        ]
        _, text = await up.do("get", "target")
        assert "Refused, and not in force (see the problems)" in text
        assert json.loads((await up.do("call", "target", "Add", '{"a": 1, "b": 2}'))[1].splitlines()[0])["value"] == 3.0


async def until(up: Up, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What `get` says of the target once that holds."""

    async def found() -> dict[str, Any] | None:
        code, text = await up.do("get", "target", "--json")
        assert code == 0, text
        shown: dict[str, Any] = json.loads(text)
        return shown if holds(shown) else None

    shown = await eventually(found, timeout=20)
    assert shown is not None
    return shown


async def test_the_rules_in_force_are_shown_while_the_registry_has_lost_them(tmp_path: Path) -> None:
    async with a_mesh(tmp_path) as up:
        await up.until_up()
        subsets = {"v1": {"Filter": 'Service.Meta.version == "1.0.0"'}}
        entry = {"Kind": "service-resolver", "Name": "target", "DefaultSubset": "v1", "Subsets": subsets}
        address = f"http://{up.record.addresses['registry']}"
        async with httpx.AsyncClient(base_url=address, trust_env=False) as consul:
            assert (await consul.put("/v1/config", json=entry)).status_code == 200
        await until(up, lambda shown: "v1.target.default.dc1" in shown["chain"]["Targets"])
        await up.do("kill", "registry")

        async def held() -> bool:
            code, text = await up.do("get", "target", "--json")
            if code != 0:
                return False  # the registry is not back yet
            shown = json.loads(text)
            return any(problem.startswith("Consul has lost it, ") for problem in shown["problems"])

        await eventually(held, timeout=20)
        _, text = await up.do("get", "target")
        assert "to v1.target.default.dc1" in text.partition("Routes")[2].partition("Policy")[0]


async def test_without_a_control_plane_addresses_come_from_consul(tmp_path: Path) -> None:
    text = '[mesh]\ncontrolplane = "none"\n' + MESH
    async with an_up(tmp_path, text, "--port", f"registry={promised_port()}", mesh=True) as up:
        await up.until_up()
        assert "none: addresses from Consul, round robin" in up.shown
        rows = json.loads((await up.do("ps", "--json"))[1])
        assert {row["instance"] for row in rows} == {"registry", "target-1", "target-2"}
        code, said = await up.do("call", "target", "Add", '{"a": 1, "b": 2}')
        assert (code, json.loads(said.splitlines()[0])) == (0, {"value": 3.0}), said
        await up.do("kill", "target-1")
        code, said = await up.do("call", "target", "Add", '{"a": 1, "b": 2}')
        assert code == 0, said


async def test_an_unknown_service_fails_at_once(tmp_path: Path) -> None:
    async with a_mesh(tmp_path) as up:
        await up.until_up()
        code, text = await up.do("call", "nobody", "Add")
        assert code == 1
        assert text.startswith("error: UNAVAILABLE: ")
        assert "nobody" in text
        assert text.count("\n") == 1


async def test_a_consul_that_is_found_is_used_instead_of_the_dev_consul(tmp_path: Path) -> None:
    if find_consul() is None:
        pytest.skip("no real Consul here")
    async with real_consul() as consul, a_mesh(tmp_path, "--port", f"registry={port_of(consul)}") as up:
        await up.until_up()
        assert "found running, version " in up.shown
        assert "registry" not in [life.instance for life in up.record.lives]


async def test_a_dev_registry_of_another_up_is_not_used() -> None:
    async with dev_consul() as registry:
        assert await consul_probe.find(port_of(registry)) == ComponentSource(dev=True, why="no Consul is running here")


async def test_something_that_is_no_consul_is_not_taken_for_one() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n[1, 2]")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await consul_probe.find(port)).dev
    assert (await consul_probe.find(promised_port())).dev


def port_of(server: ConsulServer) -> int:
    return int(str(server.address).rpartition(":")[2])


async def test_a_killed_instance_is_back_in_consul_each_time(tmp_path: Path) -> None:
    async with a_mesh(tmp_path) as up:
        await up.until_up()
        for times in range(1, 4):
            await up.do("kill", "target-1")

            async def back(times: int = times) -> bool:
                rows = json.loads((await up.do("ps", "--json"))[1])
                one = next(row for row in rows if row["instance"] == "target-1")
                return bool((one["restarts"], one["state"], one["health"]) == (times, "ready", "passing"))

            await eventually(back, timeout=20)
