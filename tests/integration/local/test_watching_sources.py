"""`up --watch`: what is edited runs, without a failed call where there are two instances; what is broken does not."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from support.mesh.up import an_up, own_ports
from support.processes import Process, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.mesh.up import Up

SERVER = """
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc

FACTOR = 1


class Adder(rpc.CalculatorServicer):
    async def Add(self, request, context):
        return pb.Result(value=FACTOR * (request.a + request.b))
"""
MAIN = """
import asyncio
import meshwright
from meshwright.config import ServiceConfig, load_config
from adder.server import Adder, rpc


async def main():
    async with meshwright.Server(load_config(ServiceConfig)) as server:
        server.add(rpc.add_CalculatorServicer_to_server, Adder())
        await server.run()


asyncio.run(main())
"""
CLIENT = """
import asyncio, json, grpc, meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.config import ServiceConfig, load_config


async def main():
    async with meshwright.channel("adder", load_config(ServiceConfig, service="client")) as channel:
        stub = rpc.CalculatorStub(channel)
        while True:
            try:
                answer = ["OK", (await stub.Add(pb.Numbers(a=1, b=2), timeout=20)).value]
            except grpc.aio.AioRpcError as error:
                answer = [error.code().name, error.details()]
            print(json.dumps(answer), flush=True)
            await asyncio.sleep(0.01)


asyncio.run(main())
"""
TOPOLOGY = """
[processes.adder]
module = "adder"
folder = "."
replicas = 2
"""
SLEEPY = """
[processes.{name}]
command = ["{name}.sh", "{mark}"]
folder = "{name}"
ready = "started"
"""


class Calls:
    """The answers to a client that keeps calling."""

    def __init__(self, client: Process) -> None:
        self._client = client
        self.seen: list[list[Any]] = []

    async def until(self, value: float) -> None:
        """Read answers until that value was answered ten times in a row."""
        stdout = self._client.child.stdout
        assert stdout is not None
        while [answer[1] for answer in self.seen[-10:]] != [value] * 10:
            line = await stdout.readline()
            assert line, self._client.tail()
            self.seen.append(json.loads(line))


@contextlib.asynccontextmanager
async def calling(up: Up, folder: Path) -> AsyncIterator[Calls]:
    environ = {**up.record.environment, "MESHWRIGHT_SERVICE": "client", "MESHWRIGHT_REGISTER": "false"}
    async with running(python("-c", CLIENT), folder / "client.log", environ, pipes=True) as client:
        yield Calls(client)


@contextlib.asynccontextmanager
async def an_adder(folder: Path) -> AsyncIterator[Up]:
    """A watched mesh with two instances of a service, whose source is in `folder`."""
    (folder / "adder").mkdir()
    (folder / "adder" / "__main__.py").write_text(MAIN)
    (folder / "adder" / "server.py").write_text(SERVER)
    async with an_up(folder, TOPOLOGY, "--watch", *own_ports(), mesh=True) as up:
        await up.until_up()
        await up.until_shown(r"watching \d+ files of shop")
        yield up


def restarts(up: Up, name: str) -> int:
    return len(re.findall(rf"{name}: restarted ", up.shown))


async def test_an_edited_service_answers_anew_and_no_call_fails(tmp_path: Path) -> None:
    async with an_adder(tmp_path) as up, calling(up, tmp_path) as calls:
        await calls.until(3.0)
        before = {up.pid("adder-1"), up.pid("adder-2")}
        (tmp_path / "adder" / "server.py").write_text(SERVER.replace("FACTOR = 1", "FACTOR = 10"))
        await calls.until(30.0)
        await up.until_shown(r"adder: restarted adder-1, adder-2 after", timeout=90)
        await calls.until(30.0)
        assert {answer[0] for answer in calls.seen} == {"OK"}
        assert not before & {life.pid for life in up.record.lives}
        assert sorted(life.instance for life in up.record.lives if life.instance.startswith("adder")) == [
            "adder-1",
            "adder-2",
        ]


async def test_what_is_broken_is_told_with_its_place_and_what_runs_stays(tmp_path: Path) -> None:
    async with an_adder(tmp_path) as up, calling(up, tmp_path) as calls:
        await calls.until(3.0)
        before = {up.pid("adder-1"), up.pid("adder-2")}
        server = tmp_path / "adder" / "server.py"
        server.write_text(SERVER.replace("async def Add(self, request, context):", "async def Add(self, request:"))
        await up.until_shown(r"adder/server\.py, line \d+: .*; adder stays as before")
        server.write_text(SERVER.replace("FACTOR = 1", "FACTOR = 1 / 0"))
        await up.until_shown(r"adder stays as before: adder-3 exited with code 1", timeout=90)
        assert "ZeroDivisionError: division by zero" in up.shown
        await calls.until(3.0)
        assert {up.pid("adder-1"), up.pid("adder-2")} == before
        server.write_text(SERVER.replace("FACTOR = 1", "FACTOR = 2"))
        await calls.until(6.0)
        await up.until_shown(r"adder: restarted adder-1, adder-2 after", timeout=90)
        assert {answer[0] for answer in calls.seen} == {"OK"}


def sleepy(folder: Path, *names: str, mark: str = "a") -> str:
    """A topology of scripts that only wait, each in its own folder."""
    for name in names:
        (folder / name).mkdir(exist_ok=True)
        script = folder / name / f"{name}.sh"
        script.write_text(f'#!/bin/sh\necho "{name} with $1"\nexec sleep 600\n')
        script.chmod(0o755)
    return "".join(SLEEPY.format(name=name, mark=mark).replace(f'["{name}.sh"', f'["./{name}.sh"') for name in names)


@contextlib.asynccontextmanager
async def a_watched_up(folder: Path, *names: str) -> AsyncIterator[Up]:
    async with an_up(folder, sleepy(folder, *names), "--watch") as up:
        await up.until_up()
        await up.until_shown(r"watching \d+ files of shop")
        yield up


async def test_ten_changes_at_once_are_one_restart(tmp_path: Path) -> None:
    async with a_watched_up(tmp_path, "cart", "price") as up:
        price = up.pid("price-1")
        for number in range(10):
            (tmp_path / "cart" / f"part{number}.py").write_text(f"x = {number}")
        await up.until_shown(r"cart: restarted cart-1")
        # What comes after them is told after them: a second restart for them would be there by then.
        (tmp_path / "price" / "more.py").write_text("x = 1")
        await up.until_shown(r"price: restarted price-1")
        assert restarts(up, "cart") == 1
        assert up.pid("price-1") != price


async def test_caches_version_control_and_editors_files_are_no_change(tmp_path: Path) -> None:
    async with a_watched_up(tmp_path, "cart", "price") as up:
        cart = up.pid("cart-1")
        for folder in ("__pycache__", ".git", ".venv", "node_modules"):
            (tmp_path / "cart" / folder).mkdir()
            (tmp_path / "cart" / folder / "a.py").write_text("x = 1")
        for name in (".cart.sh.swp", "cart.sh~", "4913", "#cart.sh#", "cart.log", "cart.db-journal", "a.pyc"):
            (tmp_path / "cart" / name).write_text("x")
        (tmp_path / "price" / "more.py").write_text("x = 1")
        await up.until_shown(r"price: restarted price-1")
        assert restarts(up, "cart") == 0
        assert up.pid("cart-1") == cart


async def test_a_new_folder_and_what_is_in_it_is_a_change(tmp_path: Path) -> None:
    async with a_watched_up(tmp_path, "cart") as up:
        (tmp_path / "cart" / "deep" / "er").mkdir(parents=True)
        (tmp_path / "cart" / "deep" / "er" / "a.py").write_text("x = 1")
        await up.until_shown(r"cart: restarted cart-1")
        os.utime(tmp_path / "cart" / "deep" / "er" / "a.py", (1, 1))
        await eventually(lambda: restarts(up, "cart") == 2, 60)


async def test_a_changed_topology_adds_removes_and_changes_without_touching_others(tmp_path: Path) -> None:
    async with a_watched_up(tmp_path, "cart", "price") as up:
        cart, price = up.pid("cart-1"), up.pid("price-1")
        path = tmp_path / "shop.toml"
        first = path.read_text()
        path.write_text(first + sleepy(tmp_path, "stock"))
        await up.until_shown(r"topology: added stock")
        await up.until_shown(r"stock-1 +\| stock with a")
        (tmp_path / "stock" / "more.py").write_text("x = 1")
        await up.until_shown(r"stock: restarted stock-1", timeout=60)

        path.write_text(first.replace('"./cart.sh", "a"', '"./cart.sh", "b"'))
        await up.until_shown(r"topology: removed stock")
        await up.until_shown(r"topology: changed cart")
        await up.until_shown(r"cart-1 +\| cart with b")
        await up.until_shown(r"cart: restarted cart-1")
        assert sorted(life.instance for life in up.record.lives) == ["cart-1", "price-1"]
        assert up.pid("price-1") == price
        assert up.pid("cart-1") != cart

        path.write_text(path.read_text().replace("[processes.price]", "[processes.price]\nreplicas = 3"))
        await up.until_shown(r"price: scaled to 3")
        assert up.pid("price-1") == price


async def test_a_broken_topology_is_told_with_its_line_and_the_mesh_runs_on(tmp_path: Path) -> None:
    async with a_watched_up(tmp_path, "cart") as up:
        cart = up.pid("cart-1")
        path = tmp_path / "shop.toml"
        first = path.read_text()
        path.write_text(first.replace('ready = "started"', 'readi = "started"'))
        await up.until_shown(r"shop\.toml is not valid:\n.*line \d+, processes\.cart.*readi")
        await up.until_shown("Nothing was changed: the topology in force is the one before")
        path.write_text(first.replace("[processes.cart]", "[processes.cart"))
        await up.until_shown(r"is not TOML: .*\(at line \d+, column \d+\)")
        assert up.pid("cart-1") == cart
        path.write_text(first.replace('"a"]', '"b"]'))
        await up.until_shown(r"cart-1 +\| cart with b")


async def test_a_process_that_can_have_no_second_instance_is_tried_again_until_it_is_mended(tmp_path: Path) -> None:
    async with a_watched_up(tmp_path, "cart") as up:
        script = tmp_path / "cart" / "cart.sh"
        good = script.read_text()
        script.write_text('#!/bin/sh\necho "that went wrong"\nexit 3\n')
        await up.until_shown(r"cart-1 +\| \* backoff: exited with code 3")
        script.write_text(good)
        await eventually(lambda: up.shown.count("cart with a") == 2, 60)
