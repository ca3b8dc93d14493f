"""`meshwright new`: what it makes passes its own test, runs, and is called; what cannot be is refused."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from support.mesh.up import command, environment, own_ports
from support.processes import python, run_pytest, running
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def entries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(("name", "package"), [("billing", "billing"), ("a-shop-2", "a_shop_2")])
async def test_a_new_service_passes_its_test_runs_and_is_called(name: str, package: str, tmp_path: Path) -> None:
    code, said = await command(tmp_path, "new", name)
    assert code == 0, said
    assert f"cd {name}" in said
    folder = tmp_path / name
    tested = await asyncio.to_thread(run_pytest, folder)
    assert "2 passed" in tested.stdout
    argv = python("-m", "meshwright", "up", *own_ports())
    async with running(argv, tmp_path / "up.log", environment(tmp_path), cwd=folder) as process:

        def is_up() -> bool:
            assert process.running, process.tail(50)
            return "is up after" in process.tail(100)

        await eventually(is_up, 60)
        code, said = await command(tmp_path, "call", name, "Greet", '{"name": "Ada"}')
        assert code == 0, said
        answer, who = said.splitlines()
        assert json.loads(answer) == {"text": "Hello, Ada!"}
        assert who.startswith((f"{name}-1 0.1.0", f"{name}-2 0.1.0"))
        code, said = await command(tmp_path, "call", name, "Greet", "{}")
        assert code == 1
        assert "INVALID_ARGUMENT" in said
    written = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in written:
        for mark in ("__package__", "__Name__"):
            assert mark not in path.read_text(), path
    assert (folder / "src" / package / "v1" / f"{package}_pb2.py").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Billing", "must be small letters, digits and single hyphens"),
        ("9lives", "must be small letters"),
        ("a--b", "must be small letters"),
        ("../x", "must be small letters"),
        ("x" * 41, "at most 40 are allowed"),
        ("json", "would hide the Python module json"),
        ("class", "would hide the Python module class"),
        ("meshwright", "would hide the Python module meshwright"),
    ],
)
async def test_a_name_that_can_be_none_is_refused(name: str, said: str, tmp_path: Path) -> None:
    code, text = await command(tmp_path, "new", name)
    assert code == 2
    assert said in text
    assert entries(tmp_path) == []


async def test_files_that_are_there_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "billing"
    folder.mkdir()
    (folder / "mine").write_text("kept")
    code, text = await command(tmp_path, "new", "billing")
    assert code == 1
    assert "is there already and not empty" in text
    assert entries(folder) == ["mine"]
    code, _ = await command(tmp_path, "new", "billing", "--into", "elsewhere")
    assert code == 0
    assert (tmp_path / "elsewhere" / "Makefile").exists()
