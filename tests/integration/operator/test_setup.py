"""The setup Job makes passwords once and keeps them, and refuses impossible volumes with the way out."""

from __future__ import annotations

import asyncio
import base64
import copy
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from meshwright.errors import ValidationError
from meshwright_operator.setup import job
from meshwright_operator.setup.cluster import SetupCluster
from meshwright_operator.setup.plan import Plan, Volume, parse_plan
from support.kubernetes.setup_api import SetupApi, setup_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OWNER = {"meta.helm.sh/release-name": "mw", "meta.helm.sh/release-namespace": "shop"}
PLAN = Plan(
    secrets={"mw-database": ("password",), "mw-gateway": ("operatorPassword",)},
    labels={"app.kubernetes.io/managed-by": "Helm"},
    annotations=OWNER,
)
KEEP = {"helm.sh/resource-policy": "keep"}
SMALL = Volume("mw-consul", "consul.storage", "1Gi", "")


@pytest_asyncio.fixture
async def api() -> AsyncIterator[tuple[SetupApi, SetupCluster]]:
    async with setup_api() as (made, config), SetupCluster(config) as cluster:
        yield made, cluster


def value(secret: dict[str, Any], key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def stateful_set(size: str, storage_class: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {"resources": {"requests": {"storage": size}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    claims = [{"metadata": {"name": "data"}, "spec": spec}] if size else []
    return {"metadata": {"name": "mw-consul"}, "spec": {"volumeClaimTemplates": claims}}


async def test_what_is_missing_is_made_and_belongs_to_the_release_but_outlives_it(api) -> None:
    server, cluster = api
    assert await job.make_secrets(cluster, PLAN) == ["mw-database/password", "mw-gateway/operatorPassword"]
    password = value(server.secrets["mw-database"], "password")
    assert len(password) == 32
    assert password.isalnum()
    assert password != value(server.secrets["mw-gateway"], "operatorPassword")
    metadata = server.secrets["mw-database"]["metadata"]
    assert metadata["labels"] == PLAN.labels
    assert metadata["annotations"].items() >= {**OWNER, **KEEP}.items()


async def test_a_second_run_changes_nothing_and_writes_nothing(api) -> None:
    server, cluster = api
    await job.make_secrets(cluster, PLAN)
    before, asked = copy.deepcopy(server.secrets), len(server.asked)
    assert await job.make_secrets(cluster, PLAN) == []
    assert server.secrets == before
    assert {method for method, _ in server.asked[asked:]} == {"GET"}


async def test_the_secret_of_an_earlier_release_keeps_its_password_and_is_kept_from_helm(api) -> None:
    server, cluster = api
    server.put("mw-database", password="b2xk", url="b2xkIHVybA==")
    server.secrets["mw-database"]["metadata"]["annotations"] = dict(OWNER)
    assert await job.make_secrets(cluster, PLAN) == ["mw-gateway/operatorPassword"]
    found = server.secrets["mw-database"]
    assert found["data"] == {"password": "b2xk", "url": "b2xkIHVybA=="}
    assert found["metadata"]["annotations"].items() >= {**OWNER, **KEEP}.items()


async def test_a_key_that_is_missing_is_added_beside_the_others(api) -> None:
    server, cluster = api
    server.put("mw-database", other="b2xk")
    assert "mw-database/password" in await job.make_secrets(cluster, PLAN)
    assert server.secrets["mw-database"]["data"]["other"] == "b2xk"
    assert len(value(server.secrets["mw-database"], "password")) == 32


async def test_of_two_runs_at_once_the_first_password_stays(api) -> None:
    server, cluster = api
    theirs = copy.deepcopy(server.put("mw-database", password="dGhlaXJz"))
    del server.secrets["mw-database"]
    server.quicker["mw-database"] = theirs
    assert await job.make_secrets(cluster, PLAN) == ["mw-gateway/operatorPassword"]
    assert value(server.secrets["mw-database"], "password") == "theirs"


async def test_many_runs_at_once_agree_on_one_password(api) -> None:
    server, cluster = api
    made = await asyncio.gather(*(job.make_secrets(cluster, PLAN) for _ in range(5)))
    assert sorted(name for each in made for name in each) == ["mw-database/password", "mw-gateway/operatorPassword"]
    assert len(server.secrets) == 2


async def test_an_api_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "INTERVAL", 0.01)
    async with setup_api() as (server, config):
        monkeypatch.setattr(job, "SetupCluster", lambda: SetupCluster(config))
        server.away = 3
        await job.run(PLAN)
        assert server.secrets.keys() == PLAN.secrets.keys()


async def test_a_cluster_without_a_default_class_is_told_before_pods_wait_for_it(api) -> None:
    server, cluster = api
    server.default_class = ""
    with pytest.raises(ValidationError) as caught:
        await job.check_volumes(cluster, Plan(volumes=(SMALL,)))
    (problem,) = caught.value.violations
    assert problem.path == "consul.storage"
    for words in ("no default StorageClass", "persistence.storageClass", "persistence.enabled=false"):
        assert words in problem.message
    assert server.claims == 0


@pytest.mark.parametrize(
    "volume",
    [SMALL, Volume("mw-consul", "consul.storage", "", "")],
    ids=["by the default class", "no volume"],
)
async def test_a_volume_that_can_be_had_passes(api, volume: Volume) -> None:
    server, cluster = api
    await job.check_volumes(cluster, Plan(volumes=(volume,)))
    assert server.claims == 0, "the trial is dry"


async def test_a_class_of_ones_own_needs_no_default(api) -> None:
    server, cluster = api
    server.default_class = ""
    await job.check_volumes(cluster, Plan(volumes=(Volume("mw-consul", "consul.storage", "1Gi", "fast"),)))
    assert not [path for _, path in server.asked if "persistentvolumeclaims" in path]


@pytest.mark.parametrize(
    ("has", "wants", "words"),
    [
        (stateful_set(""), SMALL, ("has no volume", "a volume of 1Gi", "consul.storage=''", "statefulset mw-consul`")),
        (stateful_set("2Gi"), SMALL, ("a volume of 2Gi", "consul.storage=2Gi", "mw-consul --cascade=orphan`")),
        (
            stateful_set("1Gi"),
            Volume("mw-consul", "consul.storage", "", ""),
            ("is to have no volume", "kubectl delete statefulset mw-consul`"),
        ),
        (
            stateful_set("1Gi", "slow"),
            Volume("mw-consul", "consul.storage", "1Gi", "fast"),
            ("StorageClass slow", "StorageClass fast", "mw-consul --cascade=orphan`"),
        ),
    ],
    ids=["none before", "another size", "none any more", "another class"],
)
async def test_claims_that_cannot_change_are_refused_before_the_upgrade(
    api, has: dict[str, Any], wants: Volume, words: tuple[str, ...]
) -> None:
    server, cluster = api
    server.stateful_sets["mw-consul"] = has
    with pytest.raises(ValidationError) as caught:
        await job.check_volumes(cluster, Plan(volumes=(wants,)))
    (problem,) = caught.value.violations
    for text in words:
        assert text in problem.message


async def test_claims_that_stay_as_they_are_pass(api) -> None:
    server, cluster = api
    server.stateful_sets["mw-consul"] = stateful_set("1Gi")
    await job.check_volumes(cluster, Plan(volumes=(SMALL,)))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"volumes": [{}]}', '{"secrets": 3}'])
def test_a_plan_that_is_none_is_refused_by_its_variable(text: str) -> None:
    with pytest.raises(ValidationError, match="MESHWRIGHT_SETUP"):
        parse_plan(text)


def test_the_process_ends_for_good_where_another_attempt_would_find_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MESHWRIGHT_SETUP", "{")
    with pytest.raises(SystemExit) as caught:
        job.main()
    assert caught.value.code == job.EX_CONFIG
    assert "MESHWRIGHT_SETUP" in capsys.readouterr().err
