"""What `helm test` calls, on the real demo: its processes, NATS, and the dev trace store, which speaks Jaeger's API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from meshwright_operator import acceptance
from services import acceptance as demo_acceptance
from support.demo.up import first_answer, starting
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
async def test_the_checks_of_helm_test_pass_on_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with starting(tmp_path) as demo, httpx.AsyncClient(trust_env=False, timeout=20) as client:
        await eventually(lambda: "is up after" in demo.process.log.read_text(), 120, every=0.2)
        await first_answer(demo, client)
        monkeypatch.setenv("CONSUL_HTTP_ADDR", f"127.0.0.1:{demo.ports['registry']}")
        gateway, traces = demo.url("gateway"), demo.url("traces")
        for arguments, said in (
            (("registry", "user", "calculator", "order"), " user, "),
            (("call", "--gateway", gateway, "--traces", traces), "calculator, gateway"),
            (("event", "--gateway", gateway, "--views"), "at the read side"),
            (("event", "--gateway", gateway), "in its stream on NATS"),
        ):
            module = demo_acceptance if arguments[0] in demo_acceptance.CHECKS else acceptance
            options = module.parser().parse_args(arguments)
            assert said in await module.CHECKS[options.check](options)
