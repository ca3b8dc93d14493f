"""`up` after a finished rollout, where a real Consul has kept the rules that send calls to the new version."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import yaml

from support.consul.servers import find_consul, real_consul
from support.mesh.up import TARGET, an_up
from support.processes import promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.mesh.up import Up

TOPOLOGY = f"""{TARGET}[processes.front]
command = ["{sys.executable}", "-m", "programs.front"]
wait_for = ["registry", "controlplane", "target"]
ready = "http:/readyz"
"""
COMPONENTS = ("xds", "controlplane", "traces", "otlp-grpc", "otlp-http")
ROLLOUT = {
    "apiVersion": "meshwright.dev/v1alpha1",
    "kind": "VersionedRollout",
    "metadata": {"name": "target"},
    "spec": {
        "service": "target",
        "version": "2.0.0",
        "replicas": 2,
        "strategy": {"canary": {"steps": [], "scaleDownDelay": "1s"}},
    },
}


async def versions(up: Up) -> Counter[str]:
    rows = json.loads((await up.do("ps", "--json"))[1])
    return Counter(row["version"] for row in rows if row["service"] == "target")


async def shown_by_one_that_gives_up(folder: Path, *arguments: str, **environ: str) -> str:
    """What an `up` prints whose front never gets ready; the front must have come as far as to answer, however busy the
    machine is."""
    for patience in (3, 12, 48):
        impatient = f"{TOPOLOGY}ready_timeout = {patience}\n"
        async with an_up(folder, impatient, *arguments, mesh=True, **environ) as up:
            assert await asyncio.wait_for(up.process.child.wait(), 90 + patience) == 1
            if "/readyz answers" in up.shown:
                break
    return up.shown


async def test_it_starts_what_the_rules_call_or_says_that_they_lead_nowhere(tmp_path: Path) -> None:
    if find_consul() is None:
        pytest.skip("no real Consul here")
    chosen = [option for name in COMPONENTS for option in ("--port", f"{name}={promised_port()}")]
    (tmp_path / "consul").mkdir()
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(ROLLOUT))
    async with real_consul(tmp_path / "consul", keeps_state=True) as consul:
        told = {"CONSUL_HTTP_ADDR": str(consul.address)}
        async with an_up(tmp_path, TOPOLOGY, *chosen, mesh=True, **told) as up:
            await up.until_up()
            await up.do("rollout", "apply", "rollout.yaml")
            code, said = await up.do("rollout", "status", "target", "--timeout", "50")
            assert code == 0, said

            async def only_the_new() -> bool:
                return await versions(up) == Counter({"2.0.0": 2})

            await eventually(only_the_new, timeout=30)
            assert await up.interrupt() == 0
        async with an_up(tmp_path, TOPOLOGY, *chosen, mesh=True, **told) as up:
            await up.until_up()
            assert "2 of 2.0.0, where its rollout stands" in up.shown
            assert await versions(up) == Counter({"2.0.0": 2})
            assert await up.interrupt() == 0
        shutil.rmtree(up.state.rollouts)
        shown = await shown_by_one_that_gives_up(tmp_path, *chosen, **told)
        assert re.search(r"error: front-1 was not ready \(http:/readyz\) after \d+ s: http://127\.0\.0\.1:", shown)
        assert "/readyz answers 503: target: UNAVAILABLE" in shown
        assert (
            'Calls to target go to its subset v2-0-0 (Service.Meta.version == "2.0.0"), of which no instance is '
            f"healthy: so say the rules in the Consul at http://{consul.address}. Start that version (`version` in "
            "[processes.target]), or delete the rules: consul config delete -kind service-resolver -name target; "
            "consul config delete -kind service-splitter -name target"
        ) in shown
