"""Versions that are broken in ways which a server could overlook: each is aborted within ten seconds of its calls."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from programs.broken import BROKEN
from support.mesh.up import an_up, own_ports
from support.processes import TESTS, python, running
from support.waiting import crowd, eventually

if TYPE_CHECKING:
    from pathlib import Path

TOPOLOGY = f"""
[environment]
PYTHONPATH = "{TESTS}"
MESHWRIGHT_GRACE = "0.2"
""" + "".join(
    f"""
[processes.{name}]
command = ["{sys.executable}", "-m", "programs.broken"]
version = "1.0.0"
"""
    for name in BROKEN
)
STATUS = {"never": "DEADLINE_EXCEEDED", "partial": "DATA_LOSS"}
"""What callers of a broken version see, where it is not INTERNAL."""


def rollout(service: str) -> dict[str, Any]:
    return {
        "apiVersion": "meshwright.dev/v1alpha1",
        "kind": "VersionedRollout",
        "metadata": {"name": service},
        "spec": {
            "service": service,
            "version": "2.0.0",
            "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "scaleDownDelay": "1s"}},
            "analysis": {"metrics": [{"name": "success", "successRate": {}, "minimum": 0.99}]},
        },
    }


async def test_each_broken_version_is_aborted_within_ten_seconds(tmp_path: Path) -> None:
    wanted = tmp_path / "rollouts.yaml"
    wanted.write_text(yaml.safe_dump_all(map(rollout, BROKEN)))
    async with an_up(tmp_path, TOPOLOGY, *own_ports(), mesh=True) as up:
        await up.until_up()
        environment = dict(up.record.environment)
        async with running(
            python("-m", "programs.broken", "call"), tmp_path / "calls.log", environment, pipes=True
        ) as it:
            code, said = await up.do("rollout", "apply", str(wanted))
            assert code == 0, said

            async def all_aborted() -> bool:
                found = json.loads((await up.do("rollout", "get", "--json"))[1])
                phases = {one["metadata"]["name"]: one.get("status", {}).get("phase") for one in found}
                assert phases == dict.fromkeys(BROKEN, "Aborted"), json.dumps(phases) + up.shown[-2000:]
                return True

            await eventually(all_aborted, timeout=60, every=0.5)
            out, _ = await it.child.communicate(b"")
    outcomes = json.loads(out)
    for service in BROKEN:
        bad = [began for name, status, began in outcomes if name == service and status != "OK"]
        statuses = Counter(status for name, status, _ in outcomes if name == service)
        assert set(statuses) == {"OK", STATUS.get(service, "INTERNAL")}, (service, statuses)
        assert max(bad) - min(bad) < 10 * crowd(), service
