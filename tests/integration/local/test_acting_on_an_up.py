"""`ps`, `logs`, `kill` and `scale` on a running `up`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from support.mesh.up import alive, an_up, command, environment
from support.processes import promised_port, python
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.mesh.up import Up

PRICE = "[processes.price]\nSERVER\nreplicas = 2\n"


async def instances(up: Up) -> list[tuple[str, str]]:
    rows = json.loads((await up.do("ps", "--json"))[1])
    return [(row["instance"], row["version"]) for row in rows]


async def test_scaling_up_and_down(tmp_path: Path) -> None:
    async with an_up(tmp_path, PRICE) as up:
        await up.until_up()
        assert await up.do("scale", "price", "4") == (0, "added price-3, price-4\n")
        assert len(up.record.lives) == 4
        pid = up.pid("price-4")
        assert await up.do("scale", "price", "1") == (0, "removed price-4, price-3, price-2\n")
        assert not alive(pid)
        assert await instances(up) == [("price-1", "0.0.0")]
        assert await up.do("scale", "price", "1") == (0, "price has 1 already\n")


async def test_two_versions_of_a_service_side_by_side(tmp_path: Path) -> None:
    async with an_up(tmp_path, PRICE) as up:
        await up.until_up()
        code, text = await up.do("scale", "price", "1", "--version", "2.0.0", "--json")
        assert (code, json.loads(text)) == (0, {"added": ["price-3"], "removed": []})
        await up.until_shown("hello from price-3 at 2.0.0")
        assert await up.do("scale", "price", "0") == (0, "removed price-2, price-1\n")
        assert await instances(up) == [("price-3", "2.0.0")]


async def test_new_instances_that_do_not_become_ready_are_given_up(tmp_path: Path) -> None:
    async with an_up(tmp_path, PRICE + "ready_timeout = 2\n") as up:
        await up.until_up()
        code, text = await up.do("scale", "price", "1", "--version", "bad")
        assert code == 1
        assert text.startswith(
            "error: price-3 was not ready in time: it exited with code 1; it is removed. Its last lines:\n  | this ver"
        )
        assert await instances(up) == [("price-1", "0.0.0"), ("price-2", "0.0.0")]
        assert [life.instance for life in up.record.lives] == ["price-1", "price-2"]


async def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    text = f"{PRICE}[processes.cart]\nSERVER\nport = {promised_port()}\n"
    async with an_up(tmp_path, text) as up:
        await up.until_up()
        code, said = await up.do("scale", "prise", "2")
        assert code == 1
        assert said == "error: no service is called prise; did you mean price?\n"
        code, said = await up.do("scale", "cart", "2")
        assert code == 1
        assert "in one instance; leave `port` out of the topology to have more" in said
        code, said = await up.do("kill", "price-9")
        assert code == 1
        assert said == "error: no instance is called price-9; did you mean price-2?\n"
        code, said = await up.do("kill", "price-1", "--signal", "FOO")
        assert code == 2
        assert "FOO: no such signal; expected one such as KILL, TERM or 9" in said
        code, said = await up.do("logs", "prise")
        assert code == 1
        assert said == "error: no service or instance is called prise; did you mean price?\n"


async def test_logs_are_shown_during_and_after_the_run(tmp_path: Path) -> None:
    async with an_up(tmp_path, PRICE) as up:
        await up.until_up()
        assert await up.do("logs", "price-2") == (0, "price-2 | hello from price-2 at 0.0.0\n")
        _, both = await up.do("logs", "price")
        assert sorted(both.splitlines()) == [
            "price-1 | hello from price-1 at 0.0.0",
            "price-2 | hello from price-2 at 0.0.0",
        ]
        assert (await up.do("logs", "-n", "1"))[1].count("\n") == 1
        await up.interrupt()
    assert await command(tmp_path, "logs", "price-2", "--raw") == (0, "hello from price-2 at 0.0.0\n")
    said = "error: no service or instance is called prise; did you mean price?\n"
    assert await command(tmp_path, "logs", "prise") == (2, said)


async def test_following_logs_shows_what_comes_and_ends_with_the_up(tmp_path: Path) -> None:
    async with an_up(tmp_path, PRICE) as up:
        await up.until_up()
        follower = await asyncio.create_subprocess_exec(
            *python("-um", "meshwright.cli", "logs", "-f", "price-1"),
            env={**os.environ, **environment(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert follower.stdout is not None
        expected = b"price-1 | hello from price-1 at 0.0.0\n"
        assert await asyncio.wait_for(follower.stdout.readline(), 20) == expected
        await up.do("kill", "price-1")
        assert await asyncio.wait_for(follower.stdout.readline(), 20) == expected
        await up.interrupt()
        assert await asyncio.wait_for(follower.wait(), 20) == 0


async def test_where_nothing_is_up_that_is_said(tmp_path: Path) -> None:
    for arguments in (["ps"], ["kill", "x"], ["scale", "x", "1"], ["logs", "-f"]):
        code, text = await command(tmp_path, *arguments)
        assert code == 1
        assert text == (
            f"error: nothing is up here ({tmp_path}/home). Start the topology of this folder (meshwright.toml) with "
            "`meshwright up`, or the demo with `meshwright up --demo`.\n"
        )


async def test_a_mesh_that_does_not_answer_is_told_with_how_to_start_one(tmp_path: Path) -> None:
    dead = {"CONSUL_HTTP_ADDR": f"127.0.0.1:{promised_port()}", "MESHWRIGHT_XDS": f"127.0.0.1:{promised_port()}"}
    for arguments in (["get", "x"], ["fault", "list"], ["fault", "set", "x", "--delay", "1s"], ["xds", "dump", "x"]):
        code, text = await command(tmp_path, *arguments, **dead)
        assert code == 1
        assert text.endswith(
            "No `meshwright up` runs here. Start the topology of this folder (meshwright.toml) with `meshwright up`, "
            "or the demo with `meshwright up --demo`.\n"
        ), text


async def test_of_several_topologies_one_has_to_be_named(tmp_path: Path) -> None:
    async with an_up(tmp_path, PRICE) as up:
        await up.until_up()
        other = tmp_path / "other.toml"
        other.write_text((tmp_path / "shop.toml").read_text().replace('name = "shop"', 'name = "other"'))
        second = await asyncio.create_subprocess_exec(
            *python("-m", "meshwright.cli", "up", "-q", "-f", str(other)),
            env={**os.environ, **environment(tmp_path)},
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:

            async def both() -> bool:
                return (await up.do("ps"))[0] == 1

            await eventually(both, timeout=20)
            assert (await up.do("ps"))[1] == (
                "error: several topologies are up here: other, shop. Choose one with --topology.\n"
            )
            assert (await up.do("ps", "-t", "shop"))[0] == 0
            assert (await up.do("ps", "-t", "nope"))[1] == "error: no 'nope' is up here; there is other, shop.\n"
        finally:
            second.terminate()
            await second.wait()
