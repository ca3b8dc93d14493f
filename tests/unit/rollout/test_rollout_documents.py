"""The resource: what is refused names its field, samples are valid, and the CRD says what the code says."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from meshwright.errors import ValidationError
from meshwright.rollout.api import schema_rules
from meshwright.rollout.api.crd import schema
from meshwright.rollout.api.parsing import parse, parse_on_laptop, refuse_change
from meshwright.rollout.api.spec import Analysis, BlueGreen, Canary, Rollout, SetHeaderRoute, SetWeight, subset_name
from meshwright.rollout.api.vocabulary import COMMAND_ANNOTATION, CommandName
from support.kubernetes.rollouts import BAD, document, with_blue_green

ROOT = Path(__file__).resolve().parents[3]
CRD = ROOT / "helm/meshwright/crds/versionedrollouts.yaml"
SAMPLES = sorted((ROOT / "k8s/samples").glob("*.yaml"))


@pytest.mark.parametrize(("where", "bad"), BAD, ids=[f"{index}-{where}" for index, (where, _) in enumerate(BAD)])
def test_what_is_refused_names_its_field(where: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(bad)
    assert where in [problem.path for problem in caught.value.violations], str(caught.value)


def test_a_command_must_be_one() -> None:
    bad = document()
    bad["metadata"]["annotations"] = {COMMAND_ANNOTATION: "explode@1"}
    with pytest.raises(ValidationError, match="promote-full"):
        parse(bad)


def test_a_command_is_read() -> None:
    good = document()
    good["metadata"]["annotations"] = {COMMAND_ANNOTATION: "promote-full@abc"}
    found = parse(good).command
    assert found is not None
    assert (found.name, found.token) == (CommandName.PROMOTE_FULL, "abc")


def test_a_laptop_needs_no_template_where_a_cluster_does() -> None:
    bare = document("2.0.0")
    del bare["spec"]["template"]
    assert parse_on_laptop(bare).version == "2.0.0"
    with pytest.raises(ValidationError, match="spec: exactly one of template, workloadRef must be set"):
        parse(bare)
    bare["spec"]["replicas"] = 0
    with pytest.raises(ValidationError, match=r"spec\.replicas"):
        parse_on_laptop(bare)


def test_the_service_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match=r"spec\.service"):
        refuse_change(parse(document()), parse(document(service="other")))


def test_defaults_of_the_schema_are_those_of_the_values() -> None:
    found = parse(document(strategy={"canary": {}}, replicas=1))
    plain = Rollout("user", "user", "1.0.0")
    assert (found.analysis, found.strategy) == (Analysis(), Canary())
    for name in ("progress_deadline", "revision_history_limit", "rollback_window", "on_delete", "paused", "replicas"):
        assert getattr(found, name) == getattr(plain, name)
    assert parse(with_blue_green()).strategy == BlueGreen()


def test_an_analysis_step_inherits_what_it_does_not_say() -> None:
    found = parse(document(steps=[{"analysis": {"count": 9}}], analysis={"interval": "7s"})).strategy
    assert isinstance(found, Canary)
    (step,) = found.steps
    assert (step.analysis.count, step.analysis.interval) == (9, 7.0)


def test_every_rule_of_the_cluster_has_its_twin() -> None:
    def messages(part: Any) -> set[str]:
        if isinstance(part, list):
            return {message for item in part for message in messages(item)}
        if not isinstance(part, dict):
            return set()
        own = {rule["message"] for rule in part.get("x-kubernetes-validations", ())}
        return own | {message for item in part.values() for message in messages(item)}

    found = {message for message in messages(schema()) if not message.startswith("exactly one of")}
    assert found == set(schema_rules.TWINS)


def test_the_crd_is_rendered_from_the_schema() -> None:
    render = runpy.run_path(str(ROOT / "scripts/make_crd.py"))["render"]
    assert CRD.read_text() == render(), "run scripts/make_crd.py"


def test_the_crd_has_its_columns_and_subresources() -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns == ["Version", "Stable", "Phase", "Step", "Weight", "Ready", "Revision", "Age"]
    assert set(version["subresources"]) == {"status", "scale"}


def test_the_schema_is_structural() -> None:
    """What an API server demands of one: types everywhere, and no keyword that may not be used."""

    def look(part: dict[str, Any], path: str) -> None:
        assert "type" in part, path
        assert not {"additionalProperties", "const", "oneOf", "$ref"} & set(part), path
        for name, child in part.get("properties", {}).items():
            look(child, f"{path}.{name}")
        if part["type"] == "array":
            look(part["items"], f"{path}[]")

    look(schema(), "")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_samples_are_valid_in_both_places(sample: Path) -> None:
    text = yaml.safe_load(sample.read_text())
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    Draft202012Validator(version["schema"]["openAPIV3Schema"]).validate(text)
    found = parse(copy.deepcopy(text))
    assert found.service == "user"


def test_the_canary_sample_says_what_its_comments_say() -> None:
    found = parse(yaml.safe_load((ROOT / "k8s/samples/user-canary.yaml").read_text()))
    assert isinstance(found.strategy, Canary)
    kinds = [type(step) for step in found.strategy.steps[:2]]
    assert kinds == [SetHeaderRoute, SetWeight]


@pytest.mark.parametrize(
    ("version", "subset"), [("2.0.0", "v2-0-0"), ("v2.0.0", "v2-0-0"), ("2.0.0+b_1", "v2-0-0-b-1"), ("main", "vmain")]
)
def test_subsets_are_named_as_consul_wants_them(version: str, subset: str) -> None:
    assert subset_name(version) == subset
