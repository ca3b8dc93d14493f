"""The VersionedRollout's schema on a real API server: it refuses and defaults as the code does.

Runs where KUBECONFIG names a cluster; nothing but the CRD is left there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.errors import ValidationError
from meshwright.rollout.api.parsing import parse
from meshwright.rollout.api.schema import SPEC
from meshwright.rollout.api.schema_rules import with_defaults
from support.kubernetes.cluster import apply_crd, kubectl, needs_cluster
from support.kubernetes.rollouts import BAD, document
from support.processes import ROOT
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_cluster
SAMPLES = sorted((ROOT / "k8s/samples").glob("*.yaml"))
BEYOND_A_SCHEMA = ("regex",)
"""What only the operator can refuse: whether a regular expression compiles."""


@pytest.fixture(autouse=True)
async def crd() -> None:
    await apply_crd()

    async def established() -> bool:
        code, said = await kubectl("get", "versionedrollouts", check=False)
        return code == 0 or "No resources" in said

    await eventually(established, timeout=30)


async def create(text: dict[str, Any]) -> tuple[int, str]:
    arguments = ("create", "--dry-run=server", "--validate=strict", "--output=json", "--filename=-")
    return await kubectl(*arguments, given=json.dumps(here(text)), check=False)


def here(text: dict[str, Any]) -> dict[str, Any]:
    """The document without its namespace, which is that of the context."""
    metadata = {key: value for key, value in text["metadata"].items() if key != "namespace"}
    return {**text, "metadata": metadata}


async def test_what_the_code_refuses_the_cluster_refuses_with_the_same_field() -> None:
    accepted, otherwise = [], []
    for where, bad in BAD:
        code, said = await create(bad)
        if code == 0:
            accepted.append(where)
        elif where.rpartition(".")[2].partition("[")[0] not in said and not any(text in said for text in words(bad)):
            otherwise.append((where, said))
    assert [where for where in accepted if not where.endswith(BEYOND_A_SCHEMA)] == []
    assert otherwise == []


def words(bad: dict[str, Any]) -> list[str]:
    """How the code refuses it; kubectl itself refuses kinds that the cluster does not have."""
    with pytest.raises(ValidationError) as caught:
        parse(bad)
    return ["no matches for kind", *(problem.message for problem in caught.value.violations)]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
async def test_samples_are_accepted(sample: Path) -> None:
    await kubectl("create", "--dry-run=server", "--validate=strict", "--filename", str(sample))


async def test_defaults_are_those_of_the_code() -> None:
    mine = document()
    code, said = await create(mine)
    assert code == 0, said
    found = json.loads(said)["spec"]
    wanted = with_defaults(mine["spec"], SPEC)
    for spec in (found, wanted):
        spec.pop("template")
    assert found == wanted


async def test_the_service_of_a_rollout_stays() -> None:
    mine = here(document())
    mine["metadata"]["name"] = "schema-test"
    try:
        await kubectl("create", "--filename=-", given=json.dumps(mine))
        patch = json.dumps({"spec": {"service": "other"}})
        code, said = await kubectl("patch", "vro", "schema-test", "--type=merge", f"--patch={patch}", check=False)
        assert (code != 0, "service cannot be changed" in said) == (True, True)
        table = (await kubectl("get", "vro", "schema-test"))[1].splitlines()[0].split()
        assert table == ["NAME", "VERSION", "STABLE", "PHASE", "STEP", "WEIGHT", "READY", "REVISION", "AGE"]
    finally:
        await kubectl("delete", "vro", "schema-test", "--ignore-not-found")
