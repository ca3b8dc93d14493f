"""The demo with another database, another trace store, and without a control plane: `make up` when told otherwise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from meshwright.dev.traces import TracesConfig, serving
from support.demo.up import first_answer, starting
from support.servers.postgres import NO_POSTGRES, cluster, find_postgres
from support.waiting import eventually

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


async def test_a_collector_that_is_named_gets_the_spans_and_pages_link_to_its_jaeger(tmp_path: Path) -> None:
    free = TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0)
    async with serving(free) as jaeger, httpx.AsyncClient(trust_env=False, timeout=20) as client:
        page = f"http://{jaeger.query}"
        collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{jaeger.otlp_grpc}", "JAEGER_UI_URL": page}
        async with starting(tmp_path, **collector) as demo:
            user = (await first_answer(demo, client)).json()
            summary = await client.get(f"{demo.url('gateway')}/api/v1/users/{user['id']}/summary")
            assert summary.status_code == 200, summary.text
            settings = (await client.get(f"{demo.url('gateway')}/shop/settings.json")).json()
            assert settings["traces_url"] == page

            async def whole() -> bool:
                answer = await client.get(f"{page}/api/traces/{summary.headers['X-Trace-Id']}")
                processes = answer.raise_for_status().json()["data"][0]["processes"].values()
                return {"gateway", "user", "calculator"} <= {process["serviceName"] for process in processes}

            await eventually(whole, timeout=20, ignore=(httpx.HTTPStatusError,))
            assert "traces" not in {row["process"] for row in await demo.instances()}

            def shown() -> bool:
                return bool(re.search(rf"see where the calls went\n +{page}\n", demo.process.tail(1000)))

            await eventually(shown, timeout=20)
            assert (await demo.do("tour", "--only", "discovery")).count(f"its trace: {page}/trace/")


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
