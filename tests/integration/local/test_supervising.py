"""The supervisor itself, where a user's timing, a full disk or a strange line would trip it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from meshwright import free_ports
from meshwright.errors import ValidationError
from meshwright.local.planner.component_source import ComponentSource, UpOptions
from meshwright.local.planner.plan import make
from meshwright.local.supervisor.log_files import LogFile
from meshwright.local.supervisor.run_state import StateFolder
from meshwright.local.supervisor.status import InstanceState
from meshwright.local.supervisor.supervisor import Supervisor
from meshwright.local.topology.parsing import parse
from support.mesh.up import NO_MESH, alive
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from meshwright.local.supervisor.status import InstanceStatus
    from meshwright.local.topology.spec import ProcessSpec


class Hearer:
    """A report that remembers, and may be told to fail."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.fails = 0

    def line(self, spec: ProcessSpec, text: str) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError(28, "No space left on device")
        self.lines.append(f"{spec.instance} {text}")

    def changed(self, status: InstanceStatus) -> None:
        """Of no interest."""


@contextlib.asynccontextmanager
async def supervised(tmp_path: Path, text: str) -> AsyncIterator[tuple[Supervisor, Hearer]]:
    topology = parse(NO_MESH + text, tmp_path / "shop.toml")
    environment = {"PATH": os.environ["PATH"]}
    plan = make(
        topology, UpOptions(environment=environment), ComponentSource(dev=False), tmp_path, free_ports.find_free
    )
    folder = StateFolder(tmp_path, "shop")
    folder.logs.mkdir(parents=True)
    hearer = Hearer()
    supervisor = Supervisor(plan, folder, "a-run", hearer, lambda: None)
    try:
        await supervisor.start()
        yield supervisor, hearer
    finally:
        await supervisor.stop()


def script(name: str, code: str, more: str = "") -> str:
    return f'[processes.{name}]\ncommand = {json.dumps([sys.executable, "-uc", code])}\nready = "started"\n{more}\n'


SLEEPY = "import signal; print('up'); signal.pause()"
SLOW_TO_END = """
import signal, sys, time
def stop(*_):
    print("ending")
    time.sleep(1.0)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up")
while True:
    signal.pause()
"""


def said(hearer: Hearer, line: str) -> Callable[[], bool]:
    return lambda: line in hearer.lines


async def test_a_seat_that_is_being_given_up_is_not_taken_by_another(tmp_path: Path) -> None:
    async with supervised(tmp_path, script("cart", SLOW_TO_END, "replicas = 2")) as (supervisor, hearer):
        await eventually(said(hearer, "cart-2 up"))
        down = asyncio.create_task(supervisor.scale("cart", 1))
        await eventually(said(hearer, "cart-2 ending"))
        change = await supervisor.scale("cart", 2)
        assert [spec.instance for spec in change.added] == ["cart-3"]
        await down
        assert list(supervisor.instances) == ["cart-1", "cart-3"]
        pids = [life.pid for life in supervisor.lives()]
        assert len(pids) == 2
    assert not any(map(alive, pids))


@pytest.mark.parametrize("replicas", [-1, 101])
async def test_a_number_of_instances_that_cannot_be_meant_is_refused(tmp_path: Path, replicas: int) -> None:
    async with supervised(tmp_path, script("cart", SLEEPY, "replicas = 2")) as (supervisor, _):
        with pytest.raises(ValidationError, match=f"expected a number from 0 to 100, not {replicas}"):
            await supervisor.scale("cart", replicas)
        assert len(supervisor.instances) == 2


async def test_a_program_is_looked_for_where_it_will_run(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    program = tmp_path / "app" / "run.sh"
    program.write_text("#!/bin/sh\necho here\nsleep 60\n")
    program.chmod(0o755)
    text = '[processes.cart]\ncommand = ["./run.sh"]\nfolder = "app"\nready = "started"\n'
    async with supervised(tmp_path, text) as (_, hearer):
        await eventually(said(hearer, "cart-1 here"))


async def test_a_folder_that_is_gone_fails_its_own_process_alone(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    text = script("cart", SLEEPY, 'folder = "app"') + script("price", SLEEPY)
    async with supervised(tmp_path, text) as (supervisor, _):
        (tmp_path / "app").rmdir()
        supervisor.kill("cart-1", signal.SIGKILL)
        await eventually(
            lambda: supervisor.instances["cart-1"].state is InstanceState.FAILED or supervisor.failure.done()
        )
        assert not supervisor.failure.done()
        assert supervisor.instances["price-1"].state is InstanceState.READY


async def test_a_start_that_the_machine_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with supervised(tmp_path, script("cart", SLEEPY)) as (supervisor, hearer):
        await eventually(said(hearer, "cart-1 up"))
        start, refusals = asyncio.create_subprocess_exec, iter([OSError(11, "Resource temporarily unavailable")])

        async def refusing(*arguments: object, **settings: object) -> object:
            for error in refusals:
                raise error
            return await start(*arguments, **settings)  # type: ignore[arg-type]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", refusing)
        supervisor.kill("cart-1", signal.SIGKILL)
        await eventually(lambda: hearer.lines.count("cart-1 up") == 2 or supervisor.failure.done())
        assert not supervisor.failure.done()


async def test_a_line_that_cannot_be_written_or_shown_does_not_stop_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time; time.sleep(0.3)\nfor n in range(20000): print('line', n)\nprint('done'); time.sleep(60)"
    async with supervised(tmp_path, script("cart", code)) as (supervisor, hearer):
        hearer.fails = 3
        monkeypatch.setattr(LogFile, "write", full_disk)
        await eventually(said(hearer, "cart-1 done"))
        assert not supervisor.failure.done()


def full_disk(_self: LogFile, _line: str) -> None:
    raise OSError(28, "No space left on device")


async def test_huge_lines_binary_and_a_missing_last_newline_are_read_in_bounded_pieces(tmp_path: Path) -> None:
    code = "import sys; w = sys.stdout.buffer.write; w(b'x' * 3_000_000 + b'\\n' + bytes(range(256)) + b'\\nend')"
    async with supervised(tmp_path, script("cart", code, "restart = false")) as (_, hearer):
        await eventually(said(hearer, "cart-1 end"))
        assert max(map(len, hearer.lines)) < 2**17 + 20
        assert sum(line.count("x") for line in hearer.lines) >= 3_000_000


async def test_a_process_whose_readiness_cannot_be_asked_for_is_not_left_behind(tmp_path: Path) -> None:
    text = (
        script("cart", SLEEPY)
        .replace('ready = "started"', 'ready = "consul"')
        .replace("[processes.cart]", '[processes.cart]\nenvironment = { CONSUL_HTTP_ADDR = "ftp://nowhere:x" }')
    )
    topology = parse(NO_MESH.replace('registry = "none"', 'registry = "127.0.0.1:1"') + text, tmp_path / "shop.toml")
    environment = {"PATH": os.environ["PATH"]}
    registry = ComponentSource(dev=False, address="127.0.0.1:1")
    plan = make(topology, UpOptions(environment=environment), registry, tmp_path, free_ports.find_free)
    folder = StateFolder(tmp_path, "shop")
    folder.logs.mkdir(parents=True)
    supervisor = Supervisor(plan, folder, "a-run", Hearer(), lambda: None)
    with pytest.raises(Exception, match="CONSUL_HTTP_ADDR"):
        await supervisor.start()
    assert supervisor.lives() == ()
    await supervisor.stop()
