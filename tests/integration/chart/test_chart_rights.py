"""The rights that the chart grants the operator, against the requests that the operator's code really makes."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from lightkube import KubeConfig

from meshwright import http
from meshwright_operator.handlers import Handlers
from meshwright_operator.kubernetes import pod_requests
from meshwright_operator.kubernetes.cluster import Cluster
from meshwright_operator.lease.client import LeaseClient
from meshwright_operator.lease.election import Lease
from support.kubernetes.chart import CHART, helm, parsed, render

if TYPE_CHECKING:
    from collections.abc import Iterable

Right = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "user-1-0-0", "namespace": "shop"},
}
CALLS: dict[str, tuple[Any, ...]] = {
    "deployments": ("shop", {"a": "b"}),
    "deployment": ("shop", "user-1-0-0"),
    "create_deployment": (DEPLOYMENT,),
    "patch_deployment": ("shop", "user-1-0-0", {"spec": {"replicas": 2}}),
    "delete_deployment": ("shop", "user-1-0-0"),
    "rollout": ("shop", "user"),
    "rollouts": ("shop",),
    "patch_rollout": ("shop", "user", {"metadata": {"finalizers": []}}),
    "patch_status": ("shop", "user", {"phase": "Healthy"}),
}
LEASE = Lease(holder="mesh/mw/a", installation="mesh/mw", version="1")
TAKEN = {"metadata": {}, "spec": {"holderIdentity": "mesh/mw/a"}}
LEASE_CALLS: dict[str, tuple[Any, ...]] = {
    "lease": ("shop",),
    "create_lease": ("shop", TAKEN),
    "patch_lease": ("shop", "1", TAKEN),
    "delete_lease": ("shop", LEASE),
    "is_terminating": ("shop",),
    "tell": ("shop", LEASE, "SecondOperatorRefused", "it is another's"),
    "apply_conflict": ("shop", "user", "it is another's"),
}
POD_CALLS: dict[str, tuple[Any, ...]] = {
    "pods": ("shop", {"a": "b"}),
    "events": ("shop", "user-1-0-0-x"),
    "dry_run": ("shop", "user-1-0-0", {"spec": {"replicas": 2}}),
}
EVERYTHING = (*CALLS, *LEASE_CALLS, *POD_CALLS)
REMOVING = ("rollouts", "patch_rollout", "lease", "create_lease", "patch_lease", "delete_lease", "is_terminating")
"""What the Job asks that takes finalizers off when the chart is uninstalled."""
WATCHED = {("meshwright.dev", "versionedrollouts"), ("apps", "deployments")}
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}


def right(method: str, path: str) -> Right:
    """As the API server's authorizer reads a request for objects in a namespace, or for the namespace itself."""
    parts = path.strip("/").split("/")
    group, parts = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    resource, *rest = parts[2:] if len(parts) > 2 else ("namespaces", *parts[1:])
    verb = "list" if method == "GET" and not rest else VERBS[method]
    return group, "/".join([resource, *rest[1:]]), verb


def rights(values: str, name: str) -> set[Right]:
    """What the chart's role of that name grants."""
    documents = parsed(render(CHART / "ci" / f"{values}-values.yaml"))
    roles = [each for each in documents if each and each["kind"] in ("Role", "ClusterRole")]
    (role,) = [each for each in roles if name in each["metadata"]["name"]]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module", params=["default", "everything", "replicated"])
def granted(request: pytest.FixtureRequest) -> set[Right]:
    return rights(request.param, "-operator.mesh")


def reaching(server: str) -> KubeConfig:
    return KubeConfig.from_dict(
        {
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
    )


async def asked_by(names: Iterable[str]) -> set[Right]:
    asked: set[Right] = set()

    async def answer(request: web.Request) -> web.Response:
        asked.add(right(request.method, request.path))
        if right(request.method, request.path)[2] == "list":
            return web.json_response({"apiVersion": "apps/v1", "kind": "List", "metadata": {}, "items": []})
        held = {"metadata": {"name": "x"}, "spec": {"holderIdentity": LEASE.holder}}
        return web.json_response(held if request.path.endswith("/leases/meshwright-operator") else DEPLOYMENT)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with (
        http.serving(app, "127.0.0.1", 0) as address,
        Cluster(reaching(f"http://{address}")) as cluster,
    ):
        requests = LeaseClient(cluster.client)
        for name in names:
            if name in CALLS:
                await getattr(cluster, name)(*CALLS[name])
            elif name in LEASE_CALLS:
                await getattr(requests, name)(*LEASE_CALLS[name])
            else:
                await getattr(pod_requests, name)(cluster, *POD_CALLS[name])
    return asked


def watched(handlers: Iterable[Any]) -> set[tuple[str, str]]:
    return {(each.selector.group, each.selector.plural or each.selector.any_name) for each in handlers}


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, inspect.iscoroutinefunction) if not name.startswith("_")}


def test_every_request_of_the_operator_is_among_those_that_are_checked() -> None:
    assert public(Cluster) == CALLS.keys()
    assert public(LeaseClient) == LEASE_CALLS.keys()
    functions = {name for name, _ in inspect.getmembers(pod_requests, inspect.iscoroutinefunction)}
    assert functions == POD_CALLS.keys()


async def test_the_operator_may_make_each_of_its_requests(granted: set[Right]) -> None:
    assert await asked_by(EVERYTHING) <= granted


async def test_the_operator_may_not_touch_anything_in_a_way_that_it_never_does(granted: set[Right]) -> None:
    asked = await asked_by(EVERYTHING)
    kopf = {(group, resource, verb) for group, resource in WATCHED for verb in ("list", "watch")}
    assert granted == asked | kopf


def test_the_operator_may_watch_what_it_has_handlers_for(granted: set[Right]) -> None:
    handlers = Handlers(None, None, None, None, watched=SimpleNamespace(), finalizer=None, reconcilers={})  # type: ignore[arg-type]
    registry = handlers.registry()
    # kopf tells its handlers nowhere else.
    registries = (registry._watching, registry._spawning, registry._changing)  # noqa: SLF001
    found = watched(handler for each in registries for handler in each.get_all_handlers())
    assert found == WATCHED
    for group, resource in found:
        assert {(group, resource, "list"), (group, resource, "watch")} <= granted
    # finalizers and progress, and Events
    assert {("meshwright.dev", "versionedrollouts", "patch"), ("", "events", "create")} <= granted


@pytest.mark.parametrize("values", ["default", "everything", "replicated"])
async def test_what_takes_finalizers_off_may_do_just_that(values: str) -> None:
    assert await asked_by(REMOVING) == rights(values, "-remove-finalizers.mesh")


def test_one_release_name_works_in_two_namespaces() -> None:
    def cluster_scoped(namespace: str) -> set[tuple[str, str]]:
        done = helm("template", "mw", CHART, "--namespace", namespace, "--set", "operator.clusterwide=true")
        found = parsed(done.stdout)
        return {(each["kind"], each["metadata"]["name"]) for each in found if each["kind"].startswith("Cluster")}

    one, two = cluster_scoped("one"), cluster_scoped("two")
    assert {kind for kind, _ in one} == {"ClusterRole", "ClusterRoleBinding"}
    assert not one & two


def test_by_default_the_operator_has_no_rights_beyond_its_namespace() -> None:
    documents = parsed(render(CHART / "ci" / "default-values.yaml"))
    roles = [each for each in documents if each["kind"] in {"Role", "RoleBinding"}]
    assert {each["metadata"].get("namespace", "mesh") for each in roles} == {"mesh"}
    assert not [each for each in documents if each["kind"] == "ClusterRoleBinding"]


@pytest.mark.parametrize("is_on", [True, False])
def test_who_may_view_or_edit_a_namespace_may_do_so_with_its_rollouts(is_on: bool) -> None:
    done = helm("template", "mw", CHART, "--namespace", "mesh", "--set", f"rbac.aggregate={str(is_on).lower()}")
    roles = [each for each in parsed(done.stdout) if each and each["kind"] == "ClusterRole"]
    granted: dict[str, set[tuple[str, str]]] = {"view": set(), "edit": set(), "admin": set()}
    for role in roles:
        for name, verbs in granted.items():
            if role["metadata"]["labels"].get(f"rbac.authorization.k8s.io/aggregate-to-{name}") == "true":
                verbs |= {
                    (each, verb) for rule in role["rules"] for each in rule["resources"] for verb in rule["verbs"]
                }
    if not is_on:
        assert not roles
        return
    reading = {("versionedrollouts", verb) for verb in ("get", "list", "watch")}
    assert granted["view"] == reading | {("versionedrollouts/status", "get"), ("versionedrollouts/scale", "get")}
    assert granted["edit"] == granted["admin"] > granted["view"]
    assert {("versionedrollouts", "delete"), ("versionedrollouts/scale", "patch")} <= granted["edit"]
    assert ("versionedrollouts/status", "patch") not in granted["edit"]
