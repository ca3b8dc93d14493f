"""The comparison does the work over every protocol, and counts what passes the sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from services.protocols.benchmark import codec, measure, server_process
from services.protocols.byte_counter import counting_proxy
from services.protocols.command import table
from services.protocols.domain import SLIDE_KB, Report, Traffic, verdicts
from services.protocols.plot import SLIDE, drawn
from services.protocols.transports import Http1, Http2, all_transports

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 10


async def test_the_meter_counts_every_byte_of_both_directions() -> None:
    async def echo_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data * 2)
        writer.close()

    server = await asyncio.start_server(echo_twice, "127.0.0.1", 0)
    async with server, counting_proxy(server.sockets[0].getsockname()[1]) as proxy:
        for size in (1, 70_000):
            before = proxy.read()
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x" * size)
            await reader.readexactly(2 * size)
            writer.close()
            assert await proxy.settled() - before == Traffic(size, 2 * size)


DEFAULT_SECONDS = 5
"""After so long without a request both HTTP servers close a connection by default."""


async def test_a_connection_outlives_a_pause_of_the_machine() -> None:
    """A server that closes it loses the request that is on its way in that moment, which may not be sent twice."""
    async with server_process() as (ports, _), contextlib.AsyncExitStack() as stack:
        opened = []
        for transport in (Http1(), Http2()):
            proxy = await stack.enter_async_context(counting_proxy(ports[transport.port]))
            opened.append((proxy, await stack.enter_async_context(transport.creating(proxy.port))))
        for _, create in opened:
            await create()
        await asyncio.sleep(DEFAULT_SECONDS + 1)
        for proxy, create in opened:
            await create()
            assert proxy.connections == 1


@pytest.fixture(scope="module")
def report() -> Report:
    return asyncio.run(measure(COUNT))


def test_every_protocol_does_both_kinds_of_work(report: Report) -> None:
    assert {(one.transport, one.work) for one in report.measurements} == {
        (transport.name, work) for transport in all_transports() for work in ("createUser", "chat")
    }
    assert all(one.traffic.up > 20 * COUNT and one.traffic.down > 20 * COUNT for one in report.measurements)
    assert all(len(one.timing.latencies) == COUNT and one.timing.per_second > 0 for one in report.measurements)


def test_the_bytes_are_in_the_order_that_their_formats_give(report: Report) -> None:
    size = {one.transport: one.each for one in report.measurements if one.work == "createUser"}
    assert size["WebSocket"] < size["gRPC"] < size["HTTP/1.1 JSON"] < size["JSON-RPC"] < size["HTTP polling"]
    assert size["gRPC, no token"] < size["HTTP/1.1 JSON, no token"]
    assert size["gRPC"] - size["gRPC, no token"] > 300, "the token goes along with each call"
    said = {one.transport: one.each for one in report.measurements if one.work == "chat"}
    assert said["WebSocket"] < said["SSE"] < said["HTTP polling"]
    assert report.codec["protobuf bytes"] < report.codec["json bytes"]


def test_what_the_lecture_says_stands_beside_what_was_found(report: Report) -> None:
    found = {claim.text: text for claim, text in verdicts(report)}
    assert len(found) == 5
    http = report.of("HTTP/1.1 JSON", "createUser")
    assert f"{http.traffic.up / COUNT:.0f} bytes" in next(text for claim, text in found.items() if "650" in claim)


def test_the_picture_names_every_protocol(report: Report) -> None:
    picture = ET.fromstring(drawn(report))
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert all(texts.count(transport.name) == 2 for transport in all_transports())


def test_what_the_slide_says_is_a_mark_in_the_picture_and_a_column_of_the_table(report: Report) -> None:
    picture = ET.fromstring(drawn(report))
    marks = [element for element in picture.iter() if element.get("fill") == SLIDE]
    assert len(marks) == len(SLIDE_KB) + 1, "one for each figure, and one in the legend"
    rows = table([one for one in report.measurements if one.work == "createUser"]).splitlines()
    assert "slide: KB" in rows[0]
    shown = {row[:23].strip(): row[23:].split()[0] for row in rows[1:]}
    assert (shown["HTTP/1.1 JSON"], shown["gRPC"]) == (f"{650 * COUNT / 1000:.1f}", f"{85 * COUNT / 1000:.1f}")


def test_encoding_is_timed_alike_whatever_else_runs() -> None:
    first, second = (codec(rounds=500) for _ in range(2))
    for name in ("json", "protobuf"):
        assert 0.5 < first[name] / second[name] < 2


def test_the_command_prints_json_for_programs(tmp_path: Path) -> None:
    plot = tmp_path / "bytes.svg"
    argv = [sys.executable, "-m", "meshwright.cli", "compare-protocols", "-n", "10", "--json", "--plot", str(plot)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=True)
    document = json.loads(done.stdout)
    assert len(document["protocols"]) == 2 * len(all_transports())
    assert document["empty_poll_bytes"]["up"] > 100
    assert ET.parse(plot).getroot().tag.endswith("svg")


def test_too_few_requests_are_refused() -> None:
    argv = [sys.executable, "-m", "meshwright.cli", "compare-protocols", "-n", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "10<=x<=1000000" in done.stderr
