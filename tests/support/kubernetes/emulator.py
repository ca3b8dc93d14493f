"""A Kubernetes API for operator tests: kmock's emulator with what kopf needs stamped on, and pods that are made up.

What it cannot show: garbage collection by owner, server-side apply (but for one condition), the CRD's schema and CEL
rules, PUT, admission. The end-to-end tests on a real cluster show these.

`Pods` plays kubelet and the Deployment controller: each Deployment's replicas become instances in the real Consul, with
a metrics page of which the test decides what it says, and the Deployment's status follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import attrs
import jsonpatch
import kmock
import yaml
from aiohttp import web

from meshwright import http
from meshwright.consul import Consul, Registration
from meshwright.model import Address, InstanceId, ServiceName
from meshwright.rollout.api.commands import merged
from meshwright.rollout.api.vocabulary import GROUP, PLURAL
from meshwright_operator.kubernetes.deployments import VERSION_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


ROLLOUTS = kmock.resource(f"{GROUP}/v1alpha1/{PLURAL}")
DEPLOYMENTS = kmock.resource("apps/v1/deployments")
EVENTS = kmock.resource("v1/events")
LEASES = kmock.resource("coordination.k8s.io/v1/leases")
NAMESPACES = kmock.resource("v1/namespaces")
PODS = kmock.resource("v1/pods")
NAMESPACE = "demo"


_CLUSTERWIDE = {"customresourcedefinitions", "namespaces", PLURAL, "deployments"}


@attrs.define(kw_only=True)
class Emulator(kmock.KubernetesEmulator):
    """kmock's, with uid, resourceVersion and generation as a real API server gives them."""

    away: bool = False
    delay: float = 0.0
    """Seconds until it does what a request asks for; one that is given up meanwhile it does not do."""
    namespaced: bool = False
    """Refuse what a service account with a Role, and no ClusterRole, may not ask."""
    terminating: set[str] = attrs.field(factory=set)
    """Namespaces that are being deleted."""
    _versions: Any = attrs.field(factory=lambda: itertools.count(1), init=False)
    _seconds: Any = attrs.field(factory=lambda: itertools.cycle(range(60)), init=False)

    @property
    def seen(self) -> list[Any]:
        """The requests so far."""
        return list(self._requests)

    async def _handle(self, request: Any) -> Any:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.away:
            return web.json_response({"kind": "Status", "code": 503, "message": "the test says so"}, status=503)
        if self.namespaced and request.namespace is None and getattr(request.resource, "plural", None) in _CLUSTERWIDE:
            return web.json_response({"kind": "Status", "code": 403, "reason": "Forbidden"}, status=403)
        if (request.params or {}).get("dryRun"):
            return self._tried(request)
        data = request.data
        if request.resource is not None and isinstance(data, dict):
            conflict = self._refused(request, data)
            if conflict is not None:
                return conflict
            _apply_conditions(request, data, self._known(request))
            metadata = data.setdefault("metadata", {}) or {}
            data["metadata"] = metadata
            if request.action == kmock.action.CREATE:
                name = metadata.get("name") or f"{metadata.get('generateName', 'x-')}{uuid.uuid4().hex[:6]}"
                fresh = {"name": name, "uid": str(uuid.uuid4()), "generation": 1, "namespace": request.namespace}
                metadata.update({key: value for key, value in fresh.items() if not metadata.get(key)})
                metadata["creationTimestamp"] = f"2026-01-01T00:00:{next(self._seconds):02}Z"
            elif request.action == kmock.action.UPDATE and "spec" in data and request.subresource is None:
                metadata["generation"] = (self._known(request) or data)["metadata"].get("generation", 1) + 1
            if request.action in {kmock.action.CREATE, kmock.action.UPDATE}:
                metadata["resourceVersion"] = str(next(self._versions))
        try:
            return self._deleted_namespace(request) or await super()._handle(request)
        except jsonpatch.JsonPatchTestFailed as error:
            # kopf tests the resourceVersion, and takes only this answer for a lost race.
            return web.json_response({"kind": "Status", "code": 422, "message": str(error)}, status=422)

    def _tried(self, request: Any) -> Any:
        """What a merge patch would come to, defaults filled in, without doing it."""
        key = (request.resource, request.namespace, request.name)
        if key not in self._objects or self._objects[key].deleted:
            return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)
        known = json.loads(json.dumps(dict(self._objects[key].raw)))
        made = merged(known, request.data)
        if made["spec"] != known["spec"]:
            made["metadata"]["generation"] = known["metadata"].get("generation", 1) + 1
        return web.json_response(made)

    def _deleted_namespace(self, request: Any) -> Any:
        """The namespace that a request is about, where it is being deleted."""
        name = request.url.path.removeprefix("/api/v1/namespaces/")
        if name not in self.terminating:
            return None
        metadata = {"name": name, "deletionTimestamp": "2026-01-01T00:01:00Z"}
        return web.json_response({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def _known(self, request: Any) -> Any:
        key = (request.resource, request.namespace, request.name)
        known = self._objects[key] if request.name and key in self._objects else None
        return None if known is None or known.deleted else known

    def _refused(self, request: Any, data: dict[str, Any]) -> Any:
        """A write that names a version which is not the object's any more."""
        known = self._known(request)
        version = (data.get("metadata") or {}).get("resourceVersion")
        if request.action != kmock.action.UPDATE or not version or known is None:
            return None
        if version == known["metadata"].get("resourceVersion"):
            return None
        text = "the object has been modified; please apply your changes to the latest version and try again"
        return web.json_response({"kind": "Status", "code": 409, "reason": "Conflict", "message": text}, status=409)


def _apply_conditions(request: Any, data: dict[str, Any], known: Any) -> None:
    """Server-side apply of one condition, or of none, by one manager: the others stay."""
    if "apply-patch" not in request.headers.get("Content-Type", "") or known is None:
        return
    applied = (data.get("status") or {}).get("conditions") or []
    mine = {"OperatorConflict"}
    raw = json.loads(json.dumps(dict(known.raw)))
    others = [one for one in (raw.get("status") or {}).get("conditions") or () if one["type"] not in mine]
    data["status"] = {"conditions": [*others, *applied]}


class Kube:
    """The emulator, reached as a test reaches a cluster."""

    def __init__(self, emulator: Emulator, address: str, folder: Path) -> None:
        self.emulator = emulator
        self.address = address
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(address)))

    def rollout(self, name: str) -> dict[str, Any]:
        return json.loads(json.dumps(dict(self.emulator.objects[ROLLOUTS, NAMESPACE, name].raw)))

    def status(self, name: str) -> dict[str, Any]:
        return (self.rollout(name).get("status") or {}) if self.exists(ROLLOUTS, name) else {}

    def exists(self, resource: Any, name: str) -> bool:
        key = (resource, NAMESPACE, name)
        return key in self.emulator.objects and not self.emulator.objects[key].deleted

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {
            name: json.loads(json.dumps(dict(item.raw)))
            for (resource, namespace, name), item in self.emulator.objects.items()
            if resource == DEPLOYMENTS and namespace == NAMESPACE and not item.deleted
        }

    def status_writes(self) -> int:
        """How often a rollout's status was written."""
        return sum(one.resource == ROLLOUTS and one.subresource == "status" for one in self.emulator.seen)

    def events(self) -> list[tuple[str, str]]:
        """(reason, message) of each Event."""
        return [
            (item["reason"], item["message"])
            for (resource, _, _), item in self.emulator.objects.items()
            if resource == EVENTS
        ]

    async def create(self, document: dict[str, Any]) -> None:
        path = f"/apis/{GROUP}/v1alpha1/namespaces/{NAMESPACE}/{PLURAL}"
        response = await self.emulator.post(path, json=document)
        assert response.status < 300, await response.text()

    async def patch(self, name: str, patch: dict[str, Any]) -> None:
        path = f"/apis/{GROUP}/v1alpha1/namespaces/{NAMESPACE}/{PLURAL}/{name}"
        response = await self.emulator.patch(
            path, data=json.dumps(patch), headers={"Content-Type": "application/merge-patch+json"}
        )
        assert response.status < 300, await response.text()

    async def create_pod(self, pod: dict[str, Any]) -> None:
        response = await self.emulator.post(f"/api/v1/namespaces/{NAMESPACE}/pods", json=pod)
        assert response.status < 300, await response.text()

    async def create_deployment(self, document: dict[str, Any]) -> None:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
        response = await self.emulator.post(path, json=document)
        assert response.status < 300, await response.text()

    async def delete_deployment(self, name: str) -> None:
        await self.emulator.delete(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")

    async def patch_deployment(self, name: str, patch: dict[str, Any], sub: str = "") -> None:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}{sub}"
        response = await self.emulator.patch(
            path, data=json.dumps(patch), headers={"Content-Type": "application/merge-patch+json"}
        )
        # A status is written again in a moment, should the Deployment or the API server be away.
        assert response.status < 300 or (sub == "/status" and response.status in {404, 503}), await response.text()

    async def delete(self, name: str) -> None:
        await self.emulator.delete(f"/apis/{GROUP}/v1alpha1/namespaces/{NAMESPACE}/{PLURAL}/{name}")


def _kubeconfig(address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "users": [{"name": "test", "user": {"token": "test"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}],
    }


@contextlib.asynccontextmanager
async def kube(folder: Path) -> AsyncIterator[Kube]:
    """An API server that knows rollouts, Deployments and Events, and holds none."""
    emulator = Emulator()
    emulator.resources[ROLLOUTS] = _info("VersionedRollout", "versionedrollout", {"status", "scale"})
    emulator.resources[DEPLOYMENTS] = _info("Deployment", "deployment", {"status", "scale"})
    emulator.resources[EVENTS] = _info("Event", "event", set())
    emulator.resources[PODS] = _info("Pod", "pod", {"status"})
    # kopf waits until it has found these two, whether it needs them or not.
    crds = kmock.resource("apiextensions.k8s.io/v1/customresourcedefinitions")
    emulator.resources[crds] = _info("CustomResourceDefinition", "customresourcedefinition", set(), namespaced=False)
    emulator.resources[NAMESPACES] = _info("Namespace", "namespace", set(), namespaced=False)
    emulator.resources[LEASES] = _info("Lease", "lease", set())
    async with emulator, kmock.Server(emulator) as server:
        yield Kube(emulator, str(server.url).rstrip("/"), folder)


def _info(kind: str, singular: str, subresources: set[str], *, namespaced: bool = True) -> Any:
    verbs = {"get", "list", "watch", "create", "patch", "delete", "update"}
    return {
        "kind": kind,
        "singular": singular,
        "verbs": verbs,
        "subresources": subresources,
        "namespaced": namespaced,
    }


@dataclass
class Traffic:
    """What a version's instances say of the calls that they answered."""

    ok: float = 0.0
    failed: float = 0.0
    rate: float = 20.0
    """Calls per second and instance, while the version is reached."""
    failing: float = 0.0
    """The share that fails."""
    calling: str = ""
    """An API of the service, as `demo.user.v1`, that these instances call at the same rate."""


@dataclass
class Pods:
    """The pods of all Deployments, as instances in Consul."""

    cluster: Kube
    consul: Consul
    service: str
    traffic: dict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    broken: set[str] = field(default_factory=set)
    """Versions whose pods never become ready."""
    broken_templates: set[str] = field(default_factory=set)
    """Texts in a template that keep its pods from becoming ready."""
    lingering: set[str] = field(default_factory=set)
    """Versions whose pods stay in Consul when they end."""
    templates: dict[InstanceId, str] = field(default_factory=dict)
    instances: dict[str, list[Registration]] = field(default_factory=dict)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _ending: list[tuple[str, Registration]] = field(default_factory=list)
    _ports: dict[str, int] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def metrics_port(self, version: str) -> int:
        """Where the instances of a version are scraped."""
        if version not in self._ports:

            async def page(_: web.Request) -> web.Response:
                return self._page(version)

            app = web.Application()
            app.router.add_get("/metrics", page)
            address = await self.stack.enter_async_context(http.serving(app, "127.0.0.1", 0))
            self._ports[version] = address.port
        return self._ports[version]

    def _page(self, version: str) -> web.Response:
        """The metrics of one instance; instances of one version say the same."""
        counts = self.traffic[version]
        lines = [
            f'grpc_requests_total{{side="server",service="{self.service}",version="{version}",'
            f'method="demo.user.v1.UserService/GetUser",status="{status}"}} {count}'
            for status, count in (("OK", counts.ok), ("INTERNAL", counts.failed))
        ]
        if counts.calling:
            lines.append(
                f'grpc_requests_total{{side="client",service="{self.service}",version="{version}",'
                f'method="{counts.calling}.UserService/GetUser",status="OK"}} {counts.ok}'
            )
        return web.Response(text="# TYPE grpc_requests_total counter\n" + "\n".join(lines) + "\n")

    async def keep(self) -> None:
        """Have as many instances as each Deployment asks for, for ever."""
        while True:
            for counts in self.traffic.values():
                counts.ok += counts.rate * (1 - counts.failing) * 0.1
                counts.failed += counts.rate * counts.failing * 0.1
            if not self.cluster.emulator.away:
                await self._reconcile()
            await asyncio.sleep(0.1)

    async def _reconcile(self) -> None:
        found = self.cluster.deployments()
        for name in self.instances.keys() - found.keys():
            for registration in self.instances.pop(name):
                await self.consul.deregister(registration.id)
        for version, registration in list(self._ending):
            if version not in self.lingering:
                await self.consul.deregister(registration.id)
                self._ending.remove((version, registration))
        for name, item in found.items():
            version = (item["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "")
            if not version:
                continue
            await self._keep_deployment(name, version, item)

    async def _keep_deployment(self, name: str, version: str, item: dict[str, Any]) -> None:
        """One step of a rolling update: a new instance comes, then an old one goes."""
        wanted, template = item["spec"].get("replicas", 1), json.dumps(item["spec"]["template"], sort_keys=True)
        is_stuck = version in self.broken or any(text in template for text in self.broken_templates)
        mine = self.instances.setdefault(name, [])
        old = [one for one in mine if self.templates.get(one.id) != template]
        fresh = len(mine) - len(old)
        if fresh < wanted and not is_stuck:
            registration = await self._start(name, version)
            self.templates[registration.id] = template
            mine.append(registration)
        elif version in self.broken or len(mine) > wanted:
            surplus = len(mine) if version in self.broken else len(mine) - wanted
            for one in [*old, *(one for one in mine if one not in old)][:surplus]:
                mine.remove(one)
                self._ending.append((version, one))
        old = [one for one in mine if self.templates.get(one.id) != template]
        pending = int(is_stuck and wanted > 0 and version not in self.broken)
        status = {
            "observedGeneration": item["metadata"].get("generation", 1),
            "replicas": len(mine) + pending,
            "updatedReplicas": len(mine) - len(old) + pending,
            "readyReplicas": len(mine),
        }
        if not status.items() <= (item.get("status") or {}).items():
            await self.cluster.patch_deployment(name, {"status": status}, "/status")

    async def _start(self, name: str, version: str) -> Registration:
        number = next(self._numbers)
        registration = Registration(
            id=InstanceId(f"{name}-{number}"),
            service=ServiceName(self.service),
            address=Address("127.0.0.1", 20000 + number),
            meta={"version": version, "metrics_port": str(await self.metrics_port(version))},
            grpc_check=None,
        )
        await self.consul.register(registration)
        return registration


@contextlib.asynccontextmanager
async def pods(cluster: Kube, consul: Consul, service: str) -> AsyncIterator[Pods]:
    """Pods for as long as the context lasts."""
    made = Pods(cluster, consul, service)
    async with made.stack:
        keeping = asyncio.create_task(made.keep())
        try:
            yield made
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
