"""What the services of the saga say of a wrong environment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.processes import promised_port, python, running

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("service", "environ", "line"),
    [
        ("order", {"ORDER_LEASE": "3", "ORDER_STEP_TIMEOUT": "3"}, "ORDER_LEASE: must be above ORDER_STEP_TIMEOUT"),
        ("order", {"ORDER_STEP_ATTEMPTS": "0"}, "ORDER_STEP_ATTEMPTS: must be above 0"),
        ("order", {"ORDER_DATABASE_URL": "mysql://ada:secret@localhost/orders"}, "ORDER_DATABASE_URL: must be sqlite"),
        ("inventory", {"INVENTORY_DATABASE_URL": "sqlite://"}, "INVENTORY_DATABASE_URL: must name a file"),
        (
            "inventory",
            {"INVENTORY_DATABASE_URL": "sqlite:////proc/none/x.db"},
            "is in a folder that cannot be made: No such",
        ),
        (
            "order",
            {"ORDER_DATABASE_URL": "{away}?sslmode=no"},
            "ORDER_DATABASE_URL: may ask for sslmode=disable|allow|",
        ),
        ("order", {"ORDER_DATABASE_URL": "{away}?sslmode=verify-full"}, "would not help: root certificate file "),
        ("payment", {"PAYMENT_DATABASE_URL": "sqlite:////proc/x.db"}, "would not help: unable to open database file"),
    ],
)
async def test_a_wrong_environment_is_told_in_a_line(
    tmp_path: Path, service: str, environ: dict[str, str], line: str
) -> None:
    away = f"postgresql://ada:secret@127.0.0.1:{promised_port()}/shop"
    chosen = {name: value.format(away=away) for name, value in environ.items()}
    common = {"MESHWRIGHT_REGISTER": "false", "NATS_URL": f"nats://127.0.0.1:{promised_port()}"}
    async with running(python("-m", f"services.{service}"), tmp_path / "log", common | chosen) as process:
        assert await asyncio.wait_for(process.child.wait(), 30) == 1
    text = process.tail()
    assert line in text
    assert "Traceback" not in text
    assert "secret" not in text
