"""Requests made from the gateway's own description, right ones and wrong ones: none is answered by a 5xx, or otherwise
than described."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from support.demo.gateway import storefront
from support.demo.people import sign_up
from support.demo.views import replica
from support.servers.nats import nats_server

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
EXAMPLES = 12
"""For each operation, beside the edge cases that its description names; SEED makes them the same each time."""
SEED = 20261123
ENDLESS = r"/live/|/watch$|/primes$"
"""Streams: a client that waits for their end waits for ever."""
PROGRAM = Path(sys.executable).with_name("st")


async def test_no_request_of_the_descriptions_making_breaks_the_gateway(tmp_path: Path) -> None:
    async with (
        nats_server(tmp_path / "nats") as nats,
        replica(nats, f"sqlite:///{tmp_path}/views.db") as side,
        storefront(tmp_path, views=side.channel, settings={"GATEWAY_MAX_BODY": "65536"}) as store,
    ):
        person = await sign_up(store.demo, tenant="fuzzers")
        url = f"http://{store.demo.address}"
        child = await asyncio.create_subprocess_exec(
            *(PROGRAM, "run", f"{url}/openapi.json", "--url", url, "--checks", ",".join(CHECKS), "--mode", "all"),
            *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-deterministic", "--no-shrink"),
            *("--phases", "examples,coverage,fuzzing", "--workers", "2", "--continue-on-failure", "--no-color"),
            *("--exclude-path-regex", ENDLESS, "--request-timeout", "20", "--warnings", "off"),
            *("--suppress-health-check", "all"),
            # Made up ones would be waited for, each until its deadline.
            *("--header", "Demo-Position: user/0"),
            *("--header", f"Authorization: Bearer {person.tokens['access_token']}", "--header", "API-Beta: v4"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(child.communicate(), 240)
        said = out.decode()
        assert child.returncode == 0, said[-6000:]
        tested = re.search(r"Tested: +(\d+)", said)
        assert tested, said
        assert int(tested[1]) >= 50, said
