"""The demo with another database, and without a control plane: what `make up` does when it is told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from support.demo_up import first_answer, starting
from support.postgres import NO_POSTGRES, cluster, find_postgres

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_service_has_its_own_database_in_a_postgresql_that_is_named(tmp_path: Path) -> None:
    programs = find_postgres()
    if programs is None:
        pytest.skip(NO_POSTGRES)
    with cluster(programs) as server:
        url = server.new_database()
        async with starting(tmp_path, "--postgres", url) as demo, httpx.AsyncClient(trust_env=False) as client:
            user = (await first_answer(demo, client)).json()
            summary = await client.get(f"{demo.url('gateway')}/api/v1/users/{user['id']}/summary")
            assert summary.status_code == 200, summary.text
        count = f"DO $$ BEGIN ASSERT (SELECT count(*) FROM users WHERE name = '{user['name']}') = 1; END $$"
        server.run("psql", "-v", "ON_ERROR_STOP=1", "-d", f"{url}_user", "-c", count)
    assert not [*(tmp_path / "home" / "demo" / "data").glob("*.db")]


async def test_the_services_find_each_other_without_a_control_plane(tmp_path: Path) -> None:
    async with (
        starting(tmp_path, MESHWRIGHT_DISCOVERY="consul") as demo,
        httpx.AsyncClient(trust_env=False, timeout=20) as client,
    ):
        user = (await first_answer(demo, client)).json()
        answering = set()
        for _ in range(20):
            summary = await client.get(f"{demo.url('gateway')}/api/v1/users/{user['id']}/summary")
            assert summary.status_code == 200, summary.text
            answering.add(summary.headers.get("X-Trace-Id"))
        assert len(answering) == 20
        snapshot = await client.get(f"{demo.url('controlplane')}/debug/streams")
        assert snapshot.json() == {"streams": []}
