"""The chart's CRDs as objects of the release: the same as in crds/, and kept where the values say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.kubernetes.chart import CHART, manifests

if TYPE_CHECKING:
    from pathlib import Path

KIND = "CustomResourceDefinition"


def source() -> dict[str, Any]:
    files = sorted((CHART / "crds").glob("*.yaml"))
    found = [each for file in files for each in yaml.safe_load_all(file.read_text("utf-8")) if each]
    return {each["metadata"]["name"]: each for each in found}


def test_by_default_no_release_owns_the_crds(tmp_path: Path) -> None:
    assert not [each for each in manifests({}, tmp_path) if each["kind"] == KIND]


@pytest.mark.parametrize("keep", [True, False])
def test_the_crds_of_a_release_are_those_of_the_folder(keep: bool, tmp_path: Path) -> None:
    documents = manifests({"crds": {"install": True, "keep": keep}}, tmp_path)
    found = {each["metadata"]["name"]: each for each in documents if each["kind"] == KIND}
    assert found.keys() == source().keys()
    for name, each in found.items():
        assert each["spec"] == source()[name]["spec"]
        assert each["metadata"]["labels"]["helm.sh/chart"].startswith("meshwright-")
        policy = each["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
        assert policy == ("keep" if keep else None)
