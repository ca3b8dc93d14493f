"""What changes on a cluster while a test runs: each Deployment's number of pods, and who wrote to what.

Who wrote is in the API server's audit log alone: a field manager is the same text for two releases. Where the cluster
keeps one (MESHWRIGHT_E2E_AUDIT_LOG names its file; level Metadata is enough), the writes of each ServiceAccount can be
counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from support.kubectl import KUBECTL
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
        """Of each Deployment every number that it was asked to have; one that repeats is told once."""
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
