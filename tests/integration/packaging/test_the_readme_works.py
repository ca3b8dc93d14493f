"""The service and the client that README.md prints are run as they stand there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from integration.packaging.installed import program
from support.mesh.mesh import mesh
from support.processes import python

if TYPE_CHECKING:
    from pathlib import Path

    from support.consul.servers import ConsulServer


@pytest.mark.parametrize(("name", "most"), [("hello.py", 25), ("call.py", 14)])
def test_the_programs_are_short(name: str, most: int) -> None:
    lines = [line for line in program(name).splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= most


async def test_the_client_of_the_readme_calls_its_service(any_consul: ConsulServer, tmp_path: Path) -> None:
    for name in ("hello.py", "call.py"):
        (tmp_path / name).write_text(program(name))
    async with mesh(any_consul, tmp_path) as built:
        service = await built.run(python(str(tmp_path / "hello.py")), "hello", {})
        await built.until(len, "hello", service)
        for attempt in range(20):
            client = await built.run(python(str(tmp_path / "call.py")), "call", {}, pipes=True)
            assert client.child.stdout
            said = (await asyncio.wait_for(client.child.stdout.read(), 20)).decode()
            if said or attempt == 19:
                break
        assert said.strip() == "value: 3", client.tail()
