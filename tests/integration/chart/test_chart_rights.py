"""The rights that the chart grants the operator, against the requests that the operator's code really makes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web
from lightkube import KubeConfig

from meshwright import http
from meshwright_operator.cluster import Cluster
from meshwright_operator.handlers import Handlers
from support.helm import CHART, render

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
    "patch_status": ("shop", "user", {"phase": "Healthy"}),
}
FAREWELL: dict[str, tuple[Any, ...]] = {
    "rollouts": ("shop",),
    "patch_rollout": ("shop", "user", {"metadata": {"finalizers": []}}),
}
"""What the Job asks that takes finalizers off when the chart is uninstalled."""
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}


def right(method: str, path: str) -> Right:
    """As the API server's authorizer reads a request for objects in a namespace."""
    _, group, _, _, _, resource, *rest = path.strip("/").split("/")
    verb = "list" if method == "GET" and not rest else VERBS[method]
    return group, "/".join([resource, *rest[1:]]), verb


def rights(values: str, name: str) -> set[Right]:
    """What the chart's role of that name grants."""
    documents = yaml.safe_load_all(render(CHART / "ci" / f"{values}-values.yaml"))
    roles = [each for each in documents if each and each["kind"] in ("Role", "ClusterRole")]
    (role,) = [each for each in roles if name in each["metadata"]["name"]]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module", params=["default", "everything"])
def granted(request: pytest.FixtureRequest) -> set[Right]:
    return rights(request.param, "-operator")


def reaching(server: str) -> KubeConfig:
    return KubeConfig.from_dict(
        {
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
    )


async def asked_by_the_cluster_client(calls: dict[str, tuple[Any, ...]]) -> set[Right]:
    asked: set[Right] = set()

    async def answer(request: web.Request) -> web.Response:
        asked.add(right(request.method, request.path))
        listed = right(request.method, request.path)[2] == "list"
        return web.json_response(
            {"apiVersion": "apps/v1", "kind": "List", "metadata": {}, "items": []} if listed else DEPLOYMENT
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with (
        http.serving(app, "127.0.0.1", 0) as address,
        Cluster(reaching(f"http://{address}")) as cluster,
    ):
        for name, arguments in calls.items():
            await getattr(cluster, name)(*arguments)
    return asked


def watched(handlers: Iterable[Any]) -> set[tuple[str, str]]:
    return {(each.selector.group, each.selector.plural or each.selector.any_name) for each in handlers}


def test_every_request_of_the_operator_is_among_those_that_are_checked():
    public = {name for name, _ in inspect.getmembers(Cluster, inspect.iscoroutinefunction) if not name.startswith("_")}
    assert public == CALLS.keys() | FAREWELL.keys()


async def test_the_operator_may_make_each_of_its_requests(granted: set[Right]):
    asked = await asked_by_the_cluster_client(CALLS)
    assert len(asked) == len(CALLS)
    assert asked <= granted


async def test_the_operator_may_not_touch_a_deployment_in_a_way_that_it_never_does(granted: set[Right]):
    asked = await asked_by_the_cluster_client(CALLS)
    kopf = {("apps", "deployments", "watch")}
    assert {each for each in granted if each[0] == "apps"} == {each for each in asked if each[0] == "apps"} | kopf


def test_the_operator_may_watch_what_it_has_handlers_for(granted: set[Right]):
    registry = Handlers(None, None, None, None).registry()  # type: ignore[arg-type]
    registries = (registry._watching, registry._spawning, registry._changing)
    found = watched(handler for each in registries for handler in each.get_all_handlers())
    assert found == {("meshwright.dev", "versionedrollouts"), ("apps", "deployments")}
    for group, resource in found:
        assert {(group, resource, "list"), (group, resource, "watch")} <= granted
    # finalizers and progress, and Events
    assert {("meshwright.dev", "versionedrollouts", "patch"), ("", "events", "create")} <= granted


@pytest.mark.parametrize("values", ["default", "everything"])
async def test_what_lets_go_of_rollouts_may_do_just_that(values: str):
    assert await asked_by_the_cluster_client(FAREWELL) == rights(values, "-farewell")
