"""Two releases of one name and with the default values, in two namespaces of one cluster: neither touches the other.

MESHWRIGHT_E2E_SIDE_BY_SIDE says for how many seconds both roll out (60; ten minutes were measured for
docs/reference/kubernetes.md). With MESHWRIGHT_E2E_AUDIT_LOG the writes of each operator are counted by the
API server itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.kubernetes.cluster import KUBECTL, SMALL, Release, kubectl, needs_cluster, release
from support.processes import running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


AUDIT_LOG = "MESHWRIGHT_E2E_AUDIT_LOG"
_LINE = "{.metadata.name} {.spec.replicas} {.metadata.generation}{'\\n'}"


class Changes:
    """The numbers of pods that each Deployment of a namespace was asked to have, in their order."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def sizes(self) -> dict[str, list[int]]:
        """Of each Deployment every number that it was asked to have; one that repeats is noted once."""
        found: dict[str, list[int]] = defaultdict(list)
        for line in self._log.read_text().splitlines():
            name, replicas, _ = line.split()
            if found[name][-1:] != [int(replicas)]:
                found[name].append(int(replicas))
        return dict(found)

    def scalings(self) -> int:
        return sum(len(sizes) - 1 for sizes in self.sizes().values())

    def generations(self) -> dict[str, int]:
        """The last generation of each: the number of times that its spec was changed."""
        rows = [line.split() for line in self._log.read_text().splitlines()]
        return {name: int(generation) for name, _, generation in rows}


@contextlib.asynccontextmanager
async def changes(namespace: str) -> AsyncIterator[Changes]:
    """Watches a namespace's Deployments for as long as the context lasts."""
    argv = [str(KUBECTL), "--namespace", namespace, "get", "deployments", "--watch", f"--output=jsonpath={_LINE}"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "deployments"
        async with running(argv, log):
            found = Changes(log)
            await eventually(found.sizes, timeout=30)
            yield found


@dataclasses.dataclass(frozen=True)
class Write:
    """One change that a ServiceAccount asked for."""

    account: str  # namespace:name
    verb: str
    target: str  # resource/name
    namespace: str


class AuditLog:
    """The writes of ServiceAccounts from now on."""

    def __init__(self) -> None:
        path = os.environ.get(AUDIT_LOG)
        self._path = Path(path) if path else None
        self._from = self._path.stat().st_size if self._path else 0

    @property
    def kept(self) -> bool:
        """Whether there is one."""
        return self._path is not None

    def writes(self) -> list[Write]:
        if self._path is None:
            return []
        with self._path.open("rb") as file:
            file.seek(self._from)
            lines = file.read().splitlines()
        return [write for line in lines if (write := _write(line))]


def _write(line: bytes) -> Write | None:
    entry = json.loads(line)
    user, target = entry["user"]["username"], entry.get("objectRef")
    if not user.startswith("system:serviceaccount:") or target is None:
        return None
    name = "/".join(target[key] for key in ("resource", "name", "subresource") if target.get(key))
    account = user.removeprefix("system:serviceaccount:")
    return Write(account, entry["verb"], name, target.get("namespace", ""))


SECONDS = float(os.environ.get("MESHWRIGHT_E2E_SIDE_BY_SIDE", "60"))
ONE, OTHER = "meshwright-e2e-one", "meshwright-e2e-other"
FORGETFUL = ("--set", "persistence.enabled=false")
"""No volumes: they have nothing to do with operators, and two releases are enough to wait for."""
QUIET_SECONDS = 15
"""The fight that this is about scaled Deployments once a second."""

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900 + SECONDS)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[tuple[Release, Release]]:
    async with contextlib.AsyncExitStack() as stack:
        one = await stack.enter_async_context(release(ONE, *SMALL, *FORGETFUL))
        other = await stack.enter_async_context(release(OTHER, *SMALL, *FORGETFUL))
        for mw in (one, other):
            await mw.apply()
        for mw in (one, other):
            await mw.until_phase("Healthy", "1.0.0", 240)
            await eventually(mw.idle, 300)
        yield one, other


async def roll_out_until(mw: Release, deadline: float) -> int:
    """One version after the other; returns how many were promoted."""
    for done, version in enumerate(itertools.cycle(("2.0.0", "2.1.0"))):
        await mw.ask_for(version)
        await mw.until_phase("Healthy", version, 240)
        await eventually(lambda: is_alone(mw), 60, every=0.3)
        if time.monotonic() > deadline:
            return done + 1
    raise AssertionError


async def is_alone(mw: Release) -> bool:
    """Whether the version before has no instances any more: asked for again earlier, it is a canary from two down."""
    return not (await mw.rollout())["status"].get("retiring")


def fights(seen: Changes) -> dict[str, list[int]]:
    """Deployments that were scaled more often than rollouts do it, with the numbers they were asked to have."""
    # Each time that a version comes and goes: none, some of two, two, none.
    return {name: sizes for name, sizes in seen.sizes().items() if name.startswith("user-") and _jumps(sizes)}


def _jumps(sizes: list[int]) -> bool:
    """Whether it went down and up again without having been at none, or up without having been at two."""
    turns = [
        now
        for before, now, after in zip(sizes, sizes[1:], sizes[2:], strict=False)
        if (now - before) * (after - now) < 0
    ]
    return any(size not in (0, 2) for size in turns)


async def test_rollouts_in_both_at_once_are_written_by_their_own_operator_alone(both: tuple[Release, Release]) -> None:
    audit = AuditLog()
    deadline = time.monotonic() + SECONDS
    async with changes(ONE) as in_one, changes(OTHER) as in_other:
        promoted = await asyncio.gather(*(roll_out_until(mw, deadline) for mw in both))
        seen = {ONE: in_one, OTHER: in_other}
        for mw, times in zip(both, promoted, strict=True):
            mine = seen[mw.namespace]
            print(f"{mw.namespace}: {times} promotions in {SECONDS:.0f} s, {mine.scalings()} scalings: {mine.sizes()}")
            assert fights(mine) == {}
            # A canary comes in two or three sizes and goes in one; the version before it goes in one.
            assert mine.scalings() <= 6 * times
    by = Counter((write.account.partition(":")[0], write.namespace) for write in audit.writes())
    if audit.kept:
        print("writes by ServiceAccounts, of a namespace to a namespace:", dict(by))
        assert by[ONE, ONE] > 0
        assert by[OTHER, OTHER] > 0
        assert (by[ONE, OTHER], by[OTHER, ONE]) == (0, 0)


async def test_neither_operator_may_write_where_the_other_is(both: tuple[Release, Release]) -> None:
    for mw, there in zip(both, reversed(both), strict=True):
        account = f"--as=system:serviceaccount:{mw.namespace}:mw-operator"
        for what in ("deployments", "versionedrollouts", "versionedrollouts/status"):
            for namespace, answer in ((there.namespace, "no"), (mw.namespace, "yes")):
                _, said = await kubectl("auth", "can-i", "patch", what, account, "--namespace", namespace, check=False)
                assert said.split()[-1] == answer, (what, namespace, said)


async def test_with_nothing_to_do_neither_changes_a_deployment(both: tuple[Release, Release]) -> None:
    async with changes(ONE) as in_one, changes(OTHER) as in_other:
        before = in_one.generations(), in_other.generations()
        await asyncio.sleep(QUIET_SECONDS)
        assert (in_one.generations(), in_other.generations()) == before
        assert (in_one.scalings(), in_other.scalings()) == (0, 0)


async def test_uninstalling_one_takes_nothing_of_the_other(both: tuple[Release, Release]) -> None:
    one, other = both
    before = await other.rollout()
    async with other.load() as calls:
        began = time.monotonic()
        await one.helm("uninstall", "mw", "--wait", "--timeout", "3m")
        print(f"uninstalled one of two in {time.monotonic() - began:.0f} s")
        await calls.made(200)
        after = await other.rollout()
        assert after["metadata"]["finalizers"] == before["metadata"]["finalizers"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert after["status"]["phase"] == "Healthy"
        version = "2.0.0" if before["spec"]["version"] != "2.0.0" else "2.1.0"
        await other.ask_for(version)
        await other.until_phase("Healthy", version, 240)
        assert set(await calls.end()) == {200}
    left = await one.kube("get", "jobs,pods,serviceaccounts,roles,rolebindings", "--output=name")
    assert [name for name in left.split() if "/mw" in name] == []
    metadata = json.loads(await one.kube("get", "vro", "user", "--output=json"))["metadata"]
    assert "finalizers" not in metadata
    await one.kube("delete", "vro", "user", "--wait", "--timeout=30s")
