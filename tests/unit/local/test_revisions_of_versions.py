"""Which revision of its template a version on a laptop has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from meshwright.local import resumed
from meshwright.local.member import Member
from meshwright.local.plan import Seat
from meshwright.local.reading import parse
from meshwright.local.versions import Versions
from support.rollouts import rollout
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.local.supervisor import Supervisor
    from meshwright.rollout.api.spec import Rollout

TOPOLOGY = """
[processes.user]
command = ["user"]
version = "1.0.0"
"""


class Seats:
    """A supervisor that gives seats and starts nothing."""

    def __init__(self) -> None:
        (self._process,) = parse(TOPOLOGY, Path("shop.toml")).processes
        self.members: dict[str, Member] = {}
        self._number = 0

    async def scale(self, service: str, replicas: int, version: str, environment: Mapping[str, str]) -> None:
        while len(own := [name for name, one in self.members.items() if one.seat.version == version]) != replicas:
            if len(own) > replicas:
                del self.members[own[-1]]
                continue
            self._number += 1
            seat = Seat(self._process.name, self._number, version, tuple(sorted(environment.items())))
            self.members[seat.instance] = Member(seat, self._process)

    async def replace(self, instance: str, environment: Mapping[str, str]) -> None:
        version = self.members.pop(instance).seat.version
        present = sum(one.seat.version == version for one in self.members.values())
        await self.scale("user", present + 1, version, environment)


def asking(version: str, *, paused: bool = False, **variables: str) -> Rollout:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return rollout(version, template={"spec": {"containers": [{"name": "user", "env": env}]}}, paused=paused)


def opened(seats: Seats, folder: Path) -> Versions:
    return Versions(cast("Supervisor", seats), folder)


async def revision(versions: Versions, asked: Rollout) -> int:
    """Ensure what is asked for until all of it is there, and tell its revision."""

    async def reached() -> int:
        await versions.ensure(asked, asked.version, 2)
        found = (await versions.observe(asked)).get(asked.version)
        assert found is not None
        assert (found.desired, found.old) == (2, 0)
        return found.revision

    return await eventually(reached)


async def test_each_template_that_differs_is_another_revision_of_its_version(tmp_path: Path) -> None:
    versions = opened(Seats(), tmp_path)
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="red")) == 2
    assert await revision(versions, asking("1.0.0")) == 3
    assert await revision(versions, asking("2.0.0", COLOUR="red")) == 1, "each version counts its own"
    assert await revision(versions, asking("1.0.0", COLOUR="red")) == 4


async def test_a_version_that_ran_before_its_rollout_has_the_topologys_template_as_the_first(tmp_path: Path) -> None:
    seats = Seats()
    await seats.scale("user", 2, "1.0.0", {})
    versions = opened(seats, tmp_path)
    assert await revision(versions, asking("1.0.0")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 2


async def test_revisions_outlive_an_up_and_end_with_their_version_or_rollout(tmp_path: Path) -> None:
    seats = Seats()
    blue = asking("1.0.0", COLOUR="blue")
    versions = opened(seats, tmp_path)
    await revision(versions, asking("1.0.0"))
    assert await revision(versions, blue) == 2
    again = opened(seats, tmp_path)
    assert await revision(again, blue) == 2
    await again.delete(blue, "1.0.0")

    async def is_gone() -> bool:
        return "1.0.0" not in await again.observe(blue)

    await eventually(is_gone)
    assert await revision(again, blue) == 1
    again.forget("user")
    assert resumed.templates(tmp_path / "user.json") == {}


async def test_a_paused_rollout_keeps_the_revision(tmp_path: Path) -> None:
    versions = opened(Seats(), tmp_path)
    assert await revision(versions, asking("1.0.0", COLOUR="blue")) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="red", paused=True)) == 1
    assert await revision(versions, asking("1.0.0", COLOUR="red")) == 2
