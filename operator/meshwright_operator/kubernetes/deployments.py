"""The `Workloads` port of the rollout engine on Deployments.

Each version is a Deployment `<rollout>-<version>` owned by the rollout, so that deleting the rollout deletes them all.
Its pod template is the rollout's with three additions: labels for the selector, `MESHWRIGHT_VERSION` for the service's
registration, and log lines as the termination message. The template is written when the version is requested and
whenever the rollout's template changes while that version is requested, which makes a rolling update; other versions
keep theirs. Changes by other clients are corrected (`meshwright_operator.kubernetes.drift`).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from meshwright.errors import ValidationError, Violation
from meshwright.rollout.api.observed import Explanation, Trouble, Workload
from meshwright.rollout.api.schema_parts import VERSION
from meshwright.rollout.api.schema_rules import LONGEST_NAME
from meshwright.rollout.api.vocabulary import KIND, VERSION_VARIABLE
from meshwright.schema import violations
from meshwright_operator.kubernetes import drift, pod_requests, pod_troubles, reference
from meshwright_operator.kubernetes.cluster import ClusterError
from meshwright_operator.kubernetes.manifests import (
    RELEASE_LABEL,
    REVISION_ANNOTATION,
    ROLLOUT_LABEL,
    TEMPLATE_ANNOTATION,
    VERSION_ANNOTATION,
    applied,
    digest,
    labels,
    last_applied,
    manifest,
    notes,
    pod_template,
    template_version,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshwright.rollout.api.spec import Rollout
    from meshwright_operator.kubernetes.cluster import Cluster

__all__ = ["ROLLOUT_LABEL", "VERSION_ANNOTATION", "Deployments"]

log = logging.getLogger(__name__)

Key = tuple[str, str]


class Deployments:
    """The `Workloads` port on Kubernetes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._drifts: dict[Key, tuple[object, tuple[str, ...]]] = {}
        """The drift of a Deployment at one of its states: a cache, because the dry run costs a request."""
        self._seen: dict[Key, object] = {}
        """The last observed state of a Deployment; later changes are left to the next pass, which records them."""
        self._applied: dict[Key, dict[str, Any]] = {}
        """The spec applied to a Deployment, to create it again after a deletion."""
        self._refusals: dict[Key, str] = {}
        """Deployments that the API server rejected, and its message."""

    async def observe(self, rollout: Rollout) -> dict[str, Workload]:
        found = await self._cluster.deployments(rollout.namespace, {ROLLOUT_LABEL: rollout.name})
        workloads = {}
        for item in found:
            version = (item["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "")
            if version and not item["metadata"].get("deletionTimestamp"):
                workloads[version] = await self._workload(version, item)
        return workloads

    async def _workload(self, version: str, item: Mapping[str, Any]) -> Workload:
        status, known = item.get("status") or {}, item["metadata"].get("annotations") or {}
        spec = last_applied(item)
        if spec is not None:
            self._applied[_key(item)] = spec
        self._seen[_key(item)] = _state(item)
        count = int(status.get("replicas") or 0)
        return Workload(
            version=version,
            desired=item["spec"].get("replicas", 1),
            running=status.get("readyReplicas") or 0,
            template=known.get(TEMPLATE_ANNOTATION, ""),
            revision=_number(known.get(REVISION_ANNOTATION)),
            old=max(0, count - int(status.get("updatedReplicas") or 0)),
            settled=status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0),
            drift=await self._drift(item, spec),
        )

    async def _drift(self, item: Mapping[str, Any], spec: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Changes by other clients; empty for a version without replicas, and for one without a known template."""
        if spec is None or item["spec"].get("replicas", 1) == 0:
            return ()
        key, state = _key(item), (_state(item), spec)
        if key not in self._drifts or self._drifts[key][0] != state:
            found = await self._differences(item, spec)
            if found:
                log.info("Deployment %s/%s differs from what was applied in %s", *key, ", ".join(found))
            self._drifts[key] = (state, found)
        return self._drifts[key][1]

    async def _differences(self, item: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[str, ...]:
        metadata = item["metadata"]
        patch = {"spec": drift.patch(item, spec, spec)}
        try:
            made = await pod_requests.dry_run(self._cluster, metadata["namespace"], metadata["name"], patch)
        except ClusterError as error:  # perhaps a webhook without support for dry runs
            log.debug("%s", error)
            return drift.missing(item, spec)
        if made is None or made["metadata"].get("generation", 0) not in _next(metadata.get("generation", 0)):
            return ()  # changed meanwhile: the next pass finds out
        return drift.differences(item, made)

    async def template(self, rollout: Rollout) -> str:
        given = await self._given(rollout)
        return "" if given is None else digest(pod_template(rollout, rollout.version, given))

    async def version(self, rollout: Rollout) -> str:
        """The version of the referenced Deployment's template; empty without such a Deployment."""
        given = await self._given(rollout)
        if given is None:
            return ""
        found = template_version(given)
        what = ""
        if not found:
            name = rollout.workload_ref.name if rollout.workload_ref else ""
            what = f"must be set: Deployment {name} has neither {VERSION_VARIABLE} nor the label {RELEASE_LABEL}"
        elif list(violations(found, {"type": "string", "pattern": VERSION})):
            what = f"{found!r}, from the referenced template, is no version such as 2.0.0"
        elif len(rollout.name) + len(found) > LONGEST_NAME:
            what = f"{found!r}, from the referenced template, is too long for the name {rollout.name}"
        if what:
            raise ValidationError(f"{KIND} {rollout.name}", [Violation("spec.version", what)])
        return found

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        key = (rollout.namespace, rollout.workload_name(version))
        try:
            current = await self._cluster.deployment(*key)
            if current is None:
                await self._create(rollout, version, replicas)
            else:
                await self._change(rollout, version, replicas, current)
        except ClusterError as error:
            self._refusals[key] = str(error)
            raise
        self._refusals.pop(key, None)

    async def _create(self, rollout: Rollout, version: str, replicas: int) -> None:
        known = self._applied.get((rollout.namespace, rollout.workload_name(version)))
        if version != rollout.version and known is not None:
            template = known["template"]
        else:
            if version != rollout.version:
                log.warning(
                    "%s of version %s is gone and is created again from the current template", rollout.name, version
                )
            template = _whole_template(rollout, version, await self._given(rollout))
        await self._cluster.create_deployment(manifest(rollout, version, replicas, template))

    async def _change(self, rollout: Rollout, version: str, replicas: int, current: Mapping[str, Any]) -> None:
        self._refuse_foreign(rollout, current)
        if self._seen.get(_key(current), _state(current)) != _state(current):
            return
        name, known = rollout.workload_name(version), current["metadata"].get("annotations") or {}
        patch: dict[str, Any] = {"spec": {}}
        if current["spec"].get("replicas") != replicas:
            patch["spec"]["replicas"] = replicas
        before = last_applied(current)
        asked = before
        template = None
        if version == rollout.version and not rollout.paused:
            template = await self._new_template(rollout, version, current)
            if template is not None:
                asked = applied(template)
        if asked is not None and (template is not None or await self._drift(current, before)):
            patch["spec"] |= drift.patch(current, asked, before)
        if template is not None and asked is not None:
            made = await self._tried(rollout.namespace, name, patch)
            is_new = made is None or made["spec"]["template"] != current["spec"]["template"]
            revision = _number(known.get(REVISION_ANNOTATION)) or 1
            patch["metadata"] = {"annotations": notes(version, template, asked, revision + is_new)}
        if patch["spec"] or "metadata" in patch:
            self._seen.pop(_key(current), None)
            await self._cluster.patch_deployment(rollout.namespace, name, patch)

    async def _new_template(self, rollout: Rollout, version: str, current: Mapping[str, Any]) -> dict[str, Any] | None:
        """The pod template of the version; None where its Deployment already has it.

        Where the referenced Deployment is gone, running pods keep theirs; none are started from an earlier template.
        """
        given = await self._given(rollout)
        if given is None and _has_pods(current):
            return None
        template = _whole_template(rollout, version, given)
        known = current["metadata"].get("annotations") or {}
        return None if digest(template) == known.get(TEMPLATE_ANNOTATION) else template

    async def _tried(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            return await pod_requests.dry_run(self._cluster, namespace, name, patch)
        except ClusterError:
            return None

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        name = rollout.workload_name(version)
        await self._cluster.patch_deployment(rollout.namespace, name, {"spec": {"replicas": replicas}})

    async def delete(self, rollout: Rollout, version: str) -> None:
        await self._cluster.delete_deployment(rollout.namespace, rollout.workload_name(version))

    async def explain(self, rollout: Rollout, versions: Sequence[str]) -> Explanation:
        troubles: dict[str, tuple[Trouble, ...]] = {}
        ready: dict[str, tuple[str, ...]] = {}
        for version in versions:
            current = await self._cluster.deployment(rollout.namespace, rollout.workload_name(version))
            if current is None or not _has_pods(current):
                troubles[version] = await self._why_there_is_none(rollout, version)
                continue
            pods = await pod_requests.pods(self._cluster, rollout.namespace, labels(rollout, version))
            now = time.time()
            ready[version] = pod_troubles.addresses(pods, now)
            found = (*pod_troubles.of_deployment(current), *pod_troubles.of_pods(pods))
            refused = self._refusals.get((rollout.namespace, rollout.workload_name(version)))
            if refused:
                found = (Trouble(f"Deployment {rollout.workload_name(version)}", "Refused", refused), *found)
            troubles[version] = found or await self._of_silent(rollout.namespace, pods, now)
        return Explanation(troubles, ready)

    async def _why_there_is_none(self, rollout: Rollout, version: str) -> tuple[Trouble, ...]:
        source = rollout.workload_ref
        if version == rollout.version and source is not None and await self._given(rollout) is None:
            where = f"there is no Deployment {source.name} in namespace {rollout.namespace} (spec.workloadRef.name)"
            return (Trouble(f"Deployment {source.name}", "WorkloadRefNotFound", where),)
        name = rollout.workload_name(version)
        refused = self._refusals.get((rollout.namespace, name))
        return (Trouble(f"Deployment {name}", "Refused", refused),) if refused else ()

    async def _of_silent(self, namespace: str, pods: Sequence[Mapping[str, Any]], now: float) -> tuple[Trouble, ...]:
        found: dict[str, Trouble] = {}
        for pod in pod_troubles.unexplained(pods, now):
            events = await pod_requests.events(self._cluster, namespace, pod["metadata"]["name"])
            trouble = pod_troubles.of_events(pod, events) or pod_troubles.of_readiness(pod)
            found.setdefault(trouble.reason, trouble)
        return tuple(found.values())

    async def idle_reference(self, rollout: Rollout) -> bool:
        """Scales the Deployment in `workloadRef` to 0; True where that changed it."""
        if rollout.workload_ref is None:
            return False
        name = rollout.workload_ref.name
        current = await self._cluster.deployment(rollout.namespace, name)
        patch = reference.idle_patch(current, rollout.name) if current is not None else None
        if patch is None:
            return False
        return await self._cluster.patch_deployment(rollout.namespace, name, patch)

    async def _given(self, rollout: Rollout) -> Mapping[str, Any] | None:
        """The pod template of the spec or the referenced Deployment; None where that Deployment is missing."""
        if rollout.workload_ref is None:
            return rollout.template or {}
        source = await self._cluster.deployment(rollout.namespace, rollout.workload_ref.name)
        found: Mapping[str, Any] | None = None if source is None else source["spec"]["template"]
        return found

    @staticmethod
    def _refuse_foreign(rollout: Rollout, current: Mapping[str, Any]) -> None:
        """Raises `ValidationError` for a Deployment of that name with another owner."""
        if (current["metadata"].get("labels") or {}).get(ROLLOUT_LABEL) != rollout.name:
            name = current["metadata"]["name"]
            text = f"Deployment {name} exists and is not this rollout's (label {ROLLOUT_LABEL}); rename one of the two"
            raise ValidationError(f"{KIND} {rollout.name}", [Violation("metadata.name", text)])


def _whole_template(rollout: Rollout, version: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The pod template of the requested version. Raises `ValidationError` if the referenced Deployment is missing."""
    if given is None:
        name = rollout.workload_ref.name if rollout.workload_ref else ""
        text = f"there is no Deployment {name} in namespace {rollout.namespace}"
        raise ValidationError(f"{KIND} {rollout.name}", [Violation("spec.workloadRef.name", text)])
    return pod_template(rollout, version, given)


def _has_pods(deployment: Mapping[str, Any]) -> bool:
    """Whether its desired replicas are more than 0."""
    return bool(deployment["spec"].get("replicas", 1) > 0)


def _key(deployment: Mapping[str, Any]) -> Key:
    return deployment["metadata"]["namespace"], deployment["metadata"]["name"]


def _state(deployment: Mapping[str, Any]) -> tuple[object, object]:
    """Identifies a state of its spec."""
    return deployment["metadata"].get("uid"), deployment["metadata"].get("generation")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _next(generation: int) -> tuple[int, int]:
    """The possible generations after a dry run of one write."""
    return generation, generation + 1
