"""A service that cannot start says why in a sentence, and exits with 1: all of them alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.processes import python, running

SERVICES = sorted(path.parent.name for path in Path("services").glob("*/__main__.py"))


@pytest.mark.parametrize("name", SERVICES)
async def test_a_wrong_environment_ends_a_service_with_a_sentence(name: str, tmp_path: Path) -> None:
    environ = {"MESHWRIGHT_PORT": "far too high", "NATS_URL": "nats://127.0.0.1:1"}
    async with running(python("-m", f"services.{name}"), tmp_path / "log", environ) as process:
        assert await asyncio.wait_for(process.child.wait(), 90) == 1
    said = process.log.read_text()
    assert "MESHWRIGHT_PORT" in said
    assert "Traceback" not in said


def test_all_services_are_here() -> None:
    assert {"calculator", "chat", "notification", "order", "user"} <= set(SERVICES)
