"""Which revision of its template a version on a laptop has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from meshwright.local.planner import resumed_versions
from meshwright.local.rollouts.process_workloads import ProcessWorkloads
from meshwright.local.supervisor.instances import Instance
from meshwright.local.topology.parsing import parse
from support.kubernetes.rollouts import rollout
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.local.supervisor.supervisor import Supervisor
    from meshwright.rollout.api.spec import Rollout

TOPOLOGY = """
[processes.user]
command = ["user"]
version = "1.0.0"
"""


class FakeSupervisor:
    """A supervisor that adds instances and starts no process."""

    def __init__(self) -> None:
        (self._process,) = parse(TOPOLOGY, Path("shop.toml")).processes
        self.instances: dict[str, Instance] = {}
        self._number = 0

    async def scale(self, service: str, replicas: int, version: str, environment: Mapping[str, str]) -> None:
        while len(own := [name for name, one in self.instances.items() if one.spec.version == version]) != replicas:
            if len(own) > replicas:
                del self.instances[own[-1]]
                continue
            self._number += 1
            spec = self._process.numbered(self._number, version, tuple(sorted(environment.items())))
            self.instances[spec.instance] = Instance(spec)

    async def replace(self, instance: str, environment: Mapping[str, str]) -> None:
        version = self.instances.pop(instance).spec.version
        present = sum(one.spec.version == version for one in self.instances.values())
        await self.scale("user", present + 1, version, environment)


def asking(version: str, *, paused: bool = False, **variables: str) -> Rollout:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return rollout(version, template={"spec": {"containers": [{"name": "user", "env": env}]}}, paused=paused)


def opened(supervisor: FakeSupervisor, folder: Path) -> ProcessWorkloads:
    return ProcessWorkloads(cast("Supervisor", supervisor), folder)


async def revision(versions: ProcessWorkloads, asked: Rollout) -> int:
    """Ensure what is asked for until all of it is there, and tell its revision."""

    async def reached() -> int:
        await versions.ensure(asked, asked.version, 2)
        found = (await versions.observe(asked)).get(asked.version)
        assert found is not None
        assert (found.desired, found.old) == (2, 0)
        return found.revision

    return await eventually(reached)


async def test_each_template_that_differs_is_another_revision_of_its_version(tmp_path: Path) -> None:
    versions = opened(FakeSupervisor(), tmp_path)
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="red")) == 2
    assert await revision(versions, asking("1.0.0")) == 3
    assert await revision(versions, asking("2.0.0", COLOUR="red")) == 1, "each version counts its own"
    assert await revision(versions, asking("1.0.0", COLOUR="red")) == 4


async def test_a_version_that_ran_before_its_rollout_has_the_topologys_template_as_the_first(tmp_path: Path) -> None:
    supervisor = FakeSupervisor()
    await supervisor.scale("user", 2, "1.0.0", {})
    versions = opened(supervisor, tmp_path)
    assert await revision(versions, asking("1.0.0")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 2


async def test_revisions_outlive_an_up_and_end_with_their_version_or_rollout(tmp_path: Path) -> None:
    supervisor = FakeSupervisor()
    blue = asking("1.0.0", COLOUR="blue")
    versions = opened(supervisor, tmp_path)
    await revision(versions, asking("1.0.0"))
    assert await revision(versions, blue) == 2
    again = opened(supervisor, tmp_path)
    assert await revision(again, blue) == 2
    await again.delete(blue, "1.0.0")

    async def is_gone() -> bool:
        return "1.0.0" not in await again.observe(blue)

    await eventually(is_gone)
    assert await revision(again, blue) == 1
    again.forget("user")
    assert resumed_versions.templates(tmp_path / "user.json") == {}


async def test_a_paused_rollout_keeps_the_revision(tmp_path: Path) -> None:
    versions = opened(FakeSupervisor(), tmp_path)
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="red", paused=True)) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="red")) == 2
