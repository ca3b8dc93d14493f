"""The whole of the lecture, as a visitor sees it: `meshwright tour` on a demo with two replicas of each service."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from services.tour.command import all_stops
from support.demo.up import doubled, starting
from support.servers.postgres import NO_POSTGRES, cluster, find_postgres
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.demo.up import DemoUp


async def toured(demo: DemoUp) -> str:
    """What the tour prints; it must end with 0."""

    async def up() -> bool:
        assert demo.process.running, demo.process.tail(60)
        return "is up after" in demo.process.log.read_text()

    await eventually(up, timeout=90)
    return await demo.do("tour", patience=240)


@pytest.mark.timeout(360)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_each_stop_sees_what_its_slide_says_with_two_replicas_of_everything(
    tmp_path: Path, database: str
) -> None:
    with contextlib.ExitStack() as stack:
        arguments: list[str] = []
        if database == "postgresql":
            programs = find_postgres()
            if programs is None:
                pytest.skip(NO_POSTGRES)
            arguments = ["--postgres", stack.enter_context(cluster(programs)).new_database()]
        async with starting(tmp_path, *arguments, topology=doubled(tmp_path)) as demo:
            said = await toured(demo)
            count = len(all_stops())
            assert f"{count} of {count} stops saw what the slides say" in said
            services = [row["process"] for row in await demo.instances() if row["service"] not in {"gateway", "nats"}]
            assert {services.count(name) for name in set(services) - {"registry", "controlplane", "traces"}} == {2}
