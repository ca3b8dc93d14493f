"""The versions that `up` starts for a service whose rollout, of an earlier run, has left the topology's version.

The topology defines a service's first version; from the first rollout on, the rollout does. Its traffic rules may have
outlived the earlier run (a real Consul keeps them on disk), and may route calls to versions without instances:
processes that wait for such a service would never become ready. So the versions in the rules are started at once, and
not when the rollout continues, which is after everything is ready.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class VersionTemplate:
    """The part of a rollout's pod template that applies to the instances of a version."""

    variables: Mapping[str, str] = field(default_factory=dict)
    revision: int = 1
    """Counts the version's templates."""


@dataclass(frozen=True, slots=True)
class ResumedVersion:
    """A version with instances in an earlier run's rollout."""

    version: str
    replicas: int
    environment: Mapping[str, str] = field(default_factory=dict)


Resumed = dict[str, tuple[ResumedVersion, ...]]
"""By service."""


def read(folder: Path, *, rules_are_kept: bool) -> Resumed:
    """Reads the versions that the rollouts in `folder` need at the start.

    `rules_are_kept`: the registry keeps the traffic rules, so that a canary gets calls before the rollout continues.
    """
    found: Resumed = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            document = json.loads(path.read_text())
            versions = tuple(_versions(document, templates(path), rules_are_kept=rules_are_kept))
            service = str(document["spec"]["service"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # the error is reported when the rollouts are opened
        if versions:
            found[service] = versions
    return found


def templates(rollout: Path) -> dict[str, VersionTemplate]:
    """By version, the instances' templates of the rollout in the file `rollout`."""
    try:
        found = json.loads(_templates_path(rollout).read_text())
        return {version: VersionTemplate(one["variables"], one["revision"]) for version, one in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_templates(rollout: Path, found: Mapping[str, VersionTemplate]) -> None:
    """Writes the templates beside the rollout; without templates, deletes the file."""
    path = _templates_path(rollout)
    if not found:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({version: asdict(one) for version, one in found.items()}, indent=2))
    fresh.replace(path)


def _templates_path(rollout: Path) -> Path:
    return rollout.with_suffix(".templates")


def _versions(
    document: Mapping[str, Any], known: Mapping[str, VersionTemplate], *, rules_are_kept: bool
) -> Iterator[ResumedVersion]:
    from meshwright.rollout.api import status_document  # noqa: PLC0415 - most starts have no rollout, and do without

    status = status_document.read(document.get("status") or {})
    stable = status.stable or status.target
    if not stable:
        return
    yield ResumedVersion(
        stable, int(document["spec"].get("replicas", 1)), known.get(stable, VersionTemplate()).variables
    )
    called = status.routing.versions if rules_are_kept and status.routing is not None else frozenset()
    for version in sorted(called - {stable}):
        variables = known.get(version, VersionTemplate()).variables
        yield ResumedVersion(version, max(1, status.canary_replicas), variables)
