"""What others change between a pass's look and its act is for the next pass, which tells of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from lightkube import KubeConfig

from meshwright_operator.kubernetes.cluster import Cluster
from meshwright_operator.kubernetes.deployments import Deployments
from support.kubernetes.emulator import NAMESPACE, Kube, kube
from support.kubernetes.rollouts import rollout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME = "user-1-0-0"
TEMPLATE = {"spec": {"containers": [{"name": "user", "image": "user:1.0.0"}]}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Kube]:
    async with kube(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"replicas": 5}, lambda workload: workload.desired == 5),
        (
            {"template": {"spec": {"containers": [{"name": "user", "image": "mine"}]}}},
            lambda workload: "spec.template.spec.containers[user].image" in workload.drift,
        ),
    ],
)
async def test_it_is_not_put_back_unseen(server: Kube, change: dict[str, Any], found: Any) -> None:
    asked = replace(rollout("1.0.0", template=TEMPLATE), namespace=NAMESPACE)
    async with Cluster(KubeConfig.from_file(server.kubeconfig)) as cluster:
        deployments = Deployments(cluster)
        await deployments.ensure(asked, "1.0.0", 2)
        await deployments.observe(asked)
        await server.patch_deployment(NAME, {"spec": change})
        await deployments.ensure(asked, "1.0.0", 2)
        workload = (await deployments.observe(asked))["1.0.0"]
        assert found(workload), workload
        await deployments.ensure(asked, "1.0.0", 2)
        await deployments.ensure(asked, "1.0.0", 3)
        workload = (await deployments.observe(asked))["1.0.0"]
        assert (workload.desired, workload.drift) == (3, ())
