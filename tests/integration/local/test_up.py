"""`meshwright up` with real processes: what it starts, what it says, and what it leaves behind (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from meshwright.local.topology import parsing
from support.mesh.up import NO_MESH, alive, an_up, command, environment, write
from support.processes import promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOP = """
[processes.price]
SERVER
replicas = 2
[processes.cart]
SERVER
version = "1.2.3"
wait_for = ["price"]
[[try]]
say = "look into the cart"
run = "curl ${cart.address}"
"""
ONE = "[processes.cart]\nSERVER\n"
STUBBORN = f"""
[processes.mule]
command = ["{sys.executable}", "-uc", "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('no'));\
print('ready');\\nwhile True: time.sleep(60)"]
ready = "started"
"""
needs_pdeathsig = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")


@contextlib.contextmanager
def a_stranger_at_a_port() -> Iterator[int]:
    with socket.socket() as server:
        port = promised_port()
        server.bind(("127.0.0.1", port))
        server.listen()
        yield port


async def test_processes_start_in_order_and_stop_in_reverse_and_none_is_left(tmp_path: Path) -> None:
    async with an_up(tmp_path, SHOP) as up:
        await up.until_up()
        pids = [life.pid for life in up.record.lives]
        assert len(pids) == 3
        assert await up.interrupt() == 0
        notes = up.notes()
        assert set(notes[:2]) == {"start price-1", "start price-2"}
        assert notes[2:4] == ["start cart-1", "stop cart-1"]
        assert set(notes[4:]) == {"stop price-1", "stop price-2"}
        assert not any(alive(pid) for pid in pids)
        assert up.record.lives == ()


async def test_it_prints_addresses_and_what_to_try_without_colours_into_a_pipe(tmp_path: Path) -> None:
    async with an_up(tmp_path, SHOP) as up:
        await up.until_shown("Ctrl-C stops everything")
        address = json.loads((tmp_path / "home/shop/state.json").read_text())["addresses"]["cart"]
        assert f"cart-1   http://{address}" in up.shown
        assert f"# look into the cart\n  curl {address}" in up.shown
        assert "cart-1       | hello from cart-1 at 1.2.3" in up.shown
        assert "registry       none (the topology)" in up.shown
        assert "\x1b" not in up.shown


async def test_a_process_that_crashes_is_started_again(tmp_path: Path) -> None:
    async with an_up(tmp_path, ONE) as up:
        await up.until_up()
        first = up.pid("cart-1")
        assert await up.do("kill", "cart-1") == (0, "SIGKILL sent to cart-1\n")
        await up.until_shown(r"backoff: was ended by SIGKILL; starting again in 0\.2 s")
        await eventually(lambda: up.notes().count("start cart-1") == 2)

        async def ready_again() -> bool:
            (row,) = json.loads((await up.do("ps", "--json"))[1])
            return bool(row["state"] == "ready" and row["restarts"] == 1 and row["pid"] not in (first, None))

        await eventually(ready_again, timeout=20)


async def test_ps_shows_a_table(tmp_path: Path) -> None:
    async with an_up(tmp_path, ONE) as up:
        await up.until_up()
        code, text = await up.do("ps")
        head, row = text.splitlines()
        assert code == 0
        assert head.split() == [
            *("INSTANCE", "SERVICE", "VERSION", "PID", "STATE", "HEALTH", "ADDRESS", "RESTARTS", "RSS", "UPTIME")
        ]
        assert row.split()[:6] == ["cart-1", "cart", "0.0.0", str(up.pid("cart-1")), "ready", "-"]


@needs_pdeathsig
async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    async with an_up(tmp_path, SHOP) as up:
        await up.until_up()
        pids = [life.pid for life in up.record.lives]
        await up.process.kill()
        await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_what_a_killed_supervisor_left_is_ended_at_the_next_start(tmp_path: Path) -> None:
    """A grandchild in a session of its own escapes both the kernel's signal and its group: its mark gives it away."""
    escape = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid);"
    text = f'[processes.parent]\ncommand = ["{sys.executable}", "-uc", "{escape} time.sleep(600)"]\nready = "started"\n'
    async with an_up(tmp_path, text) as up:
        await up.until_shown(r"parent-1 +\| \d+")
        await up.until_up()
        escaped = int(next(line for line in up.shown.splitlines() if line.split("|")[-1].strip().isdigit()).split()[-1])
        await up.process.kill()
        assert alive(escaped)
    async with an_up(tmp_path, ONE) as up:
        await up.until_up()
        assert f"Ended sleep (pid {escaped}), which an earlier run had left behind." in up.shown
        assert not alive(escaped)


async def test_a_process_that_only_has_a_leftovers_id_is_spared(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        folder = tmp_path / "home" / "shop"
        folder.mkdir(parents=True)
        life = {"instance": "cart-1", "pid": bystander.pid, "started": 1.0}
        record = {"pid": 1, "started": 1.0, "run": "r", "topology": "t", "socket": "s", "lives": [life]}
        (folder / "state.json").write_text(json.dumps(record))
        async with an_up(tmp_path, ONE) as up:
            await up.until_up()
            assert "left behind" not in up.shown
            assert bystander.returncode is None
            assert alive(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_second_up_of_the_same_topology_is_refused(tmp_path: Path) -> None:
    async with an_up(tmp_path, ONE) as up:
        await up.until_up()
        code, text = await up.do("up", "-f", str(tmp_path / "shop.toml"))
        pid = up.process.child.pid
        assert code == 1
        assert text == (
            f"error: shop is up already as process {pid}. See it with `meshwright ps`; "
            f"stop it with Ctrl-C there or `kill {pid}`.\n"
        )


async def test_a_taken_port_is_refused_by_name_before_anything_starts(tmp_path: Path) -> None:
    with a_stranger_at_a_port() as port:
        path = write(tmp_path, ONE + f"port = {port}\n")
        code, text = await command(tmp_path, "up", "-f", str(path))
        assert code == 2
        assert text.startswith(
            f"error: the choice of ports is not valid:\n  port {port} (cart): is taken by pid {os.getpid()}: "
        )
        assert f"; use --port cart={port + 1}" in text or "; use --port cart=" in text
        assert not (tmp_path / "notes").exists()
        free = promised_port()
        async with an_up(tmp_path, ONE + f"port = {port}\n", "--port", f"cart={free}") as up:
            await up.until_up()
            await up.until_shown(f"http://127.0.0.1:{free}")


async def test_a_malformed_topology_is_refused_in_one_paragraph(tmp_path: Path) -> None:
    path = write(tmp_path, ONE + 'replicas = "two"\n')
    code, text = await command(tmp_path, "up", "-f", str(path))
    assert code == 2
    assert text == (
        f'error: topology {path} is not valid:\n  line 9, processes.cart.replicas: expected an integer, not "two"\n'
    )


async def test_without_a_topology_it_says_what_to_do(tmp_path: Path) -> None:
    code, text = await command(tmp_path, "up", "-f", "nowhere.toml")
    assert (code, text) == (
        2,
        "error: topology nowhere.toml is not valid:\n  cannot be read: No such file or directory\n",
    )


async def test_a_bare_up_wants_a_meshwright_toml_of_this_folder_and_says_how_to_get_one(tmp_path: Path) -> None:
    code, text = await command(tmp_path, "up")
    assert code == 2
    assert text.startswith(f"error: there is no meshwright.toml in {tmp_path}, so there is nothing to run. Either\n")
    assert "`meshwright up -f FILE`" in text
    assert "`meshwright up --demo`" in text
    assert parsing.parse(textwrap.dedent(text.partition("such as\n\n")[2].partition("\n\n")[0]), tmp_path / "x.toml")


async def test_a_bare_up_runs_the_meshwright_toml_of_this_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My Shop"
    folder.mkdir()
    text = NO_MESH + '[processes.idle]\ncommand = ["sleep", "600"]\nready = "started"\n'
    (folder / "meshwright.toml").write_text(text)
    async with running(
        python("-m", "meshwright.cli", "up"), tmp_path / "up.log", environment(folder), cwd=folder
    ) as up:
        await eventually(lambda: "my-shop is up after" in up.log.read_text(), timeout=30)


async def test_a_broken_meshwright_toml_is_refused_with_place_and_reason(tmp_path: Path) -> None:
    cases = {
        "\n= 1": "is not TOML: Invalid statement (at line 2, column 1)",
        "[processes.x]\nmodul = 'x'": "line 2, processes.x.modul: unknown key; did you mean module?",
        "name = 'x'": "processes: is required",
    }
    for content, reason in cases.items():
        (tmp_path / "meshwright.toml").write_text(content)
        code, text = await command(tmp_path, "up")
        assert (code, text.splitlines()[0]) == (2, "error: topology meshwright.toml is not valid:")
        assert reason in text


async def test_a_file_and_the_demo_are_not_asked_for_together(tmp_path: Path) -> None:
    code, text = await command(tmp_path, "up", "--demo", "-f", "x.toml")
    assert code == 2
    assert "-f names one topology and --demo another; leave one of them out" in text


async def test_two_taken_ports_get_two_other_ones(tmp_path: Path) -> None:
    with a_stranger_at_a_port() as first, a_stranger_at_a_port() as second:
        text = f"[processes.a]\nSERVER\nport = {first}\n[processes.b]\nSERVER\nport = {second}\n"
        code, said = await command(tmp_path, "up", "-f", str(write(tmp_path, text)))
        assert code == 2
        advised = re.findall(r"use --port (\w)=(\d+)", said)
        assert [name for name, _ in advised] == ["a", "b"]
        assert len({port for _, port in advised} | {str(first), str(second)}) == 4


async def test_a_wrong_port_option_is_refused(tmp_path: Path) -> None:
    code, text = await command(tmp_path, "up", "-f", str(write(tmp_path, ONE)), "--port", "cart:80")
    assert code == 2
    assert "--port cart:80: expected NAME=NUMBER, with a number from 1 to 65535" in text


async def test_a_consul_that_is_told_and_does_not_answer_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ONE)
    path.write_text(path.read_text().replace('registry = "none"', 'registry = "auto"'))
    dead = f"127.0.0.1:{promised_port()}"
    code, text = await command(tmp_path, "up", "-f", str(path), CONSUL_HTTP_ADDR=dead)
    assert code == 2
    assert text.startswith("error: the registry is not valid:\n  CONSUL_HTTP_ADDR: ")
    assert dead in text


async def test_a_process_that_is_not_ready_in_time_fails_the_start_with_its_last_lines(tmp_path: Path) -> None:
    text = STUBBORN.replace('"started"', '"tcp"\nready_timeout = 1')
    async with an_up(tmp_path, text) as up:
        assert await asyncio.wait_for(up.process.child.wait(), 30) == 1
        assert re.search(
            r"error: mule-1 was not ready \(tcp\) after 1 s: nothing listens at 127\.0\.0\.1:\d+\. "
            r"Its last lines:\n  \| ready\n",
            up.shown,
        )
        assert up.record.lives == ()


async def test_a_process_that_crashes_at_once_fails_the_start_with_its_last_lines(tmp_path: Path) -> None:
    text = f'[processes.a]\ncommand = ["{sys.executable}", "-c", "raise SystemExit(\'no database\')"]\nready = "tcp"\n'
    async with an_up(tmp_path, ONE + text) as up:
        assert await asyncio.wait_for(up.process.child.wait(), 30) == 1
        assert "error: a-1 exited with code 1 before it was ready, 3 times. Its last lines:" in up.shown
        assert up.shown.rstrip().endswith("  | no database\n  | no database\n  | no database")


async def test_a_program_that_does_not_exist_fails_the_start(tmp_path: Path) -> None:
    async with an_up(tmp_path, '[processes.a]\ncommand = ["no-such-program"]\nready = "started"\n') as up:
        assert await asyncio.wait_for(up.process.child.wait(), 30) == 1
        assert "error: a-1 cannot be started: processes.a.command: there is no program 'no-such-program'" in up.shown


async def test_a_process_that_ignores_sigterm_is_killed_after_its_patience(tmp_path: Path) -> None:
    async with an_up(tmp_path, STUBBORN + "stop_timeout = 0.5\n") as up:
        await up.until_shown(r"mule-1 +\| ready")
        await up.until_up()
        pid = up.pid("mule-1")
        assert await up.interrupt() == 0
        assert "did not end within 0.5 s of SIGTERM; killed" in up.shown
        assert not alive(pid)


async def test_a_second_ctrl_c_ends_everything_at_once(tmp_path: Path) -> None:
    async with an_up(tmp_path, STUBBORN + "stop_timeout = 3600\n") as up:
        await up.until_shown(r"mule-1 +\| ready")
        await up.until_up()
        pid = up.pid("mule-1")
        up.process.child.send_signal(signal.SIGINT)
        await up.until_shown("Ctrl-C again ends everything at once")
        await up.until_shown(r"mule-1 +\| no")
        assert await up.interrupt() == 0
        assert not alive(pid)


async def test_ctrl_c_during_the_start_stops_what_has_started(tmp_path: Path) -> None:
    async with an_up(tmp_path, STUBBORN.replace('"started"', '"tcp"') + "stop_timeout = 0.2\n") as up:
        await up.until_shown(r"mule-1 +\| ready")
        pid = up.pid("mule-1")
        assert await up.interrupt() == 0
        assert not alive(pid)


async def test_it_goes_on_when_its_output_is_closed(tmp_path: Path) -> None:
    path = write(tmp_path, ONE)
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *python("-m", "meshwright.cli", "up", "-f", str(path)),
        env={**os.environ, **environment(tmp_path)},
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    os.close(reading)

    async def ready() -> bool:
        code, text = await command(tmp_path, "ps", "--json")
        return code == 0 and json.loads(text)[0]["state"] == "ready"

    await eventually(ready, timeout=30)
    process.terminate()
    _, complaints = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, complaints) == (0, b"")
    assert (tmp_path / "notes").read_text().splitlines() == ["start cart-1", "stop cart-1"]
