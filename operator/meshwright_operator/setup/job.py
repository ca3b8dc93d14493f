"""The prerequisites of the chart's pods: makes missing passwords, and checks that volumes are available.

A chart that generates a password while rendering differs in each rendering, so the chart only names the required
Secrets and keys, and this Job makes the missing ones. Existing values never change: those of an earlier release, of a
manually made Secret, and of a concurrent run of this Job. Each Secret is marked to be kept when the release is upgraded
or uninstalled, because a database's volume outlives the release too and needs its password.

A StatefulSet whose volumes no StorageClass provides hangs without an error, and one with changed volume claims is
rejected in the middle of an upgrade. This Job finds both before anything changes. A retry would find the same, so the
process ends with `EX_CONFIG`, which the Job takes as final.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright import logs
from meshwright.config import env_field, load_config
from meshwright.errors import MeshwrightError, UnreachableError, ValidationError, Violation
from meshwright_operator.setup.cluster import SetupCluster
from meshwright_operator.setup.plan import Plan, Volume, parse_plan, random_password

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("meshwright_operator.setup")

INTERVAL = 1.0
TIMEOUT = 120.0
"""Seconds to wait for an unavailable API server."""
EX_CONFIG = 78
KEPT = {
    "helm.sh/resource-policy": "keep",
    "argocd.argoproj.io/sync-options": "Prune=false",
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
}
"""Annotations of a made Secret: Helm and Argo CD keep it when the release is removed, or no longer lists it."""


@dataclass(frozen=True, slots=True)
class SetupConfig:
    """The Job's configuration."""

    plan: str = env_field("MESHWRIGHT_SETUP", help="JSON: secrets and volumes; see the chart's templates/setup.yaml")
    log_level: str = env_field("MESHWRIGHT_LOG_LEVEL", "info")


async def make_secrets(cluster: SetupCluster, plan: Plan) -> list[str]:
    """Makes the missing values of the plan's Secrets; returns `<secret>/<key>` of each.

    Raises `UnreachableError` for an unavailable API server; the values made until then stay.
    """
    made: list[str] = []
    for name, keys in plan.secrets.items():
        made += await _make_secret(cluster, plan, name, keys)
    return made


async def _make_secret(cluster: SetupCluster, plan: Plan, name: str, keys: tuple[str, ...]) -> list[str]:
    while True:
        current = await cluster.secret(name)
        if current is None:
            wanted = {key: _encoded(random_password()) for key in keys}
            if await cluster.create_secret(_manifest(plan, name, wanted)):
                return [f"{name}/{key}" for key in keys]
            continue  # A concurrent run was faster: its values are used.
        missing = {key: _encoded(random_password()) for key in keys if not (current.get("data") or {}).get(key)}
        patch = _patch(plan, current, missing)
        if patch is None or await cluster.patch_secret(name, patch):
            return [f"{name}/{key}" for key in missing]


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _manifest(plan: Plan, name: str, values: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(plan.labels), "annotations": {**plan.annotations, **KEPT}}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": dict(values)}


def _patch(plan: Plan, current: Mapping[str, Any], missing: Mapping[str, str]) -> dict[str, Any] | None:
    """The merge patch that adds keys and marks, with the version that was read; None where nothing is missing."""
    metadata = current["metadata"]
    wanted = {**plan.annotations, **KEPT}
    marks = {name: text for name, text in wanted.items() if name not in (metadata.get("annotations") or {})}
    if not (missing or marks):
        return None
    patch: dict[str, Any] = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": marks}}
    if missing:
        patch["data"] = dict(missing)
    return patch


async def check_volumes(cluster: SetupCluster, plan: Plan) -> None:
    """Raises `ValidationError` with each StatefulSet whose volumes this cluster does not provide, and the remedies."""
    problems = [
        problem
        for volume in plan.volumes
        if (problem := _claim_problem(volume, await cluster.stateful_set(volume.name))) is not None
    ]
    homeless = [volume.setting for volume in plan.volumes if volume.size and not volume.storage_class]
    if homeless and not await cluster.has_default_class(homeless[0]):
        what = (
            "asks for a volume, and this cluster has no default StorageClass: name one with persistence.storageClass "
            "(kubectl get storageclass), or install without volumes with persistence.enabled=false"
        )
        problems += [Violation(each, what) for each in homeless]
    if problems:
        raise ValidationError("the storage of this release", problems)


def _claim_problem(volume: Volume, current: Mapping[str, Any] | None) -> Violation | None:
    """The problem of an existing StatefulSet with other claims, which Kubernetes does not change."""
    if current is None:
        return None
    has = claim(current)
    wants = (volume.size, volume.storage_class)
    if has[0] == wants[0] and (has[1] == wants[1] or not has[0]):
        return None
    # An orphaned pod is adopted if its claim stays; with other volumes it is neither changed nor replaced.
    way = (
        "--cascade=orphan` (its pods stay until they are replaced)"
        if has[0] and wants[0]
        else "` (its pods go with it)"
    )
    what = (
        f"StatefulSet {volume.name} has {_told(*has)} and is to have {_told(*wants)}, which Kubernetes does not change "
        f"in place: keep what it has ({volume.setting}={has[0] or repr('')}), or delete it with "
        f"`kubectl delete statefulset {volume.name}{' ' * way.startswith('-')}{way} and go on; "
        f"docs/how-to/kubernetes-operations.md says what is lost"
    )
    return Violation(volume.setting, what)


def claim(stateful_set: Mapping[str, Any]) -> tuple[str, str]:
    """Size and StorageClass of the volume `data`; empty where missing."""
    for each in stateful_set["spec"].get("volumeClaimTemplates") or ():
        if each["metadata"]["name"] == "data":
            spec = each["spec"]
            return spec["resources"]["requests"]["storage"], spec.get("storageClassName") or ""
    return "", ""


def _told(size: str, storage_class: str) -> str:
    if not size:
        return "no volume"
    return f"a volume of {size} of StorageClass {storage_class}" if storage_class else f"a volume of {size}"


async def run(plan: Plan) -> None:
    """Make the secrets and check the volumes, trying again while the API server is away."""
    async with SetupCluster() as cluster, asyncio.timeout(TIMEOUT):
        while True:
            try:
                made = await make_secrets(cluster, plan)
                log.info("made %s", ", ".join(made) if made else "nothing: all secrets are there")
                await check_volumes(cluster, plan)
            except UnreachableError as error:
                log.warning("trying again: %s", error)
                await asyncio.sleep(INTERVAL)
            else:
                return


def main() -> None:
    """Run as a Job of the chart; exits with one line where it fails."""
    try:
        config = load_config(SetupConfig)
        logs.configure("meshwright-setup", "", "", config.log_level)
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # each request
        asyncio.run(run(parse_plan(config.plan)))
    except TimeoutError:
        sys.exit(f"error: the API server did not answer within {TIMEOUT:g} s")
    except ValidationError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EX_CONFIG)
    except MeshwrightError as error:
        sys.exit(f"error: {error}")
