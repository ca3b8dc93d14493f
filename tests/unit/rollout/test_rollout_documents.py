"""The resource: what is refused names its field, samples are valid, and the CRD says what the code says."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from meshwright.errors import BadInputError
from meshwright.rollout import rules
from meshwright.rollout.crd import schema
from meshwright.rollout.parse import parse, refuse_change
from meshwright.rollout.spec import Analysis, BlueGreen, Canary, Rollout, SetHeaderRoute, SetWeight, subset_name
from meshwright.rollout.vocabulary import COMMAND_ANNOTATION, Verb
from support.rollouts import document

ROOT = Path(__file__).resolve().parents[3]
CRD = ROOT / "helm/meshwright/crds/versionedrollouts.yaml"
SAMPLES = sorted((ROOT / "k8s/samples").glob("*.yaml"))

STEP = "spec.strategy.canary.steps[0]"
METRIC = "spec.analysis.metrics[0]"


def with_step(step: Any) -> dict[str, Any]:
    return document(steps=[step])


def with_metric(**metric: Any) -> dict[str, Any]:
    return document(analysis={"metrics": [{"name": "m", **metric}]})


def without(field: str) -> dict[str, Any]:
    found = document()
    del found["spec"][field]
    return found


def with_blue_green(**asked: Any) -> dict[str, Any]:
    return document(strategy={"blueGreen": asked})


def named(name: str) -> dict[str, Any]:
    found = document()
    found["metadata"]["name"] = name
    return found


BAD: list[tuple[str, dict[str, Any]]] = [
    ("spec.service", without("service")),
    ("spec.version", without("version")),
    ("spec.strategy", without("strategy")),
    ("spec", without("template")),
    ("spec", document(workloadRef={"name": "user"})),
    ("spec.service", document(service="User Service")),
    ("spec.version", document(version="-1")),
    ("spec.version", document(version=2.0)),
    ("spec.version", document(version="1" * 48)),
    ("spec.version", named("n" * 60)),
    ("metadata.name", named("Not-A-Label")),
    ("spec.replicas", document(replicas=0)),
    ("spec.replicas", document(replicas="3")),
    ("spec.paused", document(paused="yes")),
    ("spec.template.spec.containers", document(template={"spec": {"containers": []}})),
    ("spec.template.spec.containers", document(template={"spec": {}})),
    ("spec.workloadRef.kind", document(workloadRef={"name": "user", "kind": "StatefulSet"})),
    ("spec.strategy", document(strategy={})),
    ("spec.strategy", document(strategy={"canary": {}, "blueGreen": {}})),
    (STEP, with_step({})),
    (STEP, with_step({"setWeight": 5, "pause": {}})),
    (f"{STEP}.setWeight", with_step({"setWeight": 101})),
    (f"{STEP}.setWeight", with_step({"setWeight": -1})),
    (f"{STEP}.setweight", with_step({"setweight": 1})),
    (f"{STEP}.pause.duration", with_step({"pause": {"duration": "soon"}})),
    (f"{STEP}.pause.duration", with_step({"pause": {"duration": 30}})),
    (f"{STEP}.setCanaryScale", with_step({"setCanaryScale": {}})),
    (f"{STEP}.setCanaryScale", with_step({"setCanaryScale": {"replicas": 1, "weight": 10}})),
    (f"{STEP}.setCanaryScale.replicas", with_step({"setCanaryScale": {"replicas": 0}})),
    (f"{STEP}.setCanaryScale.matchTrafficWeight", with_step({"setCanaryScale": {"matchTrafficWeight": False}})),
    (f"{STEP}.setHeaderRoute.name", with_step({"setHeaderRoute": {"match": []}})),
    (
        f"{STEP}.setHeaderRoute.match[0]",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "x"}]}}),
    ),
    (
        f"{STEP}.setHeaderRoute.match[0]",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "x", "exact": "1", "regex": "1"}]}}),
    ),
    (
        f"{STEP}.setHeaderRoute.match[0].header",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "X-Upper", "exact": "1"}]}}),
    ),
    (
        f"{STEP}.setHeaderRoute.match[0].regex",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "x", "regex": "("}]}}),
    ),
    (f"{STEP}.analysis.source", with_step({"analysis": {"source": "scrape"}})),
    (f"{STEP}.analysis.count", with_step({"analysis": {"count": 0}})),
    (
        "spec.strategy.canary.steps",
        with_step({"analysis": {"metrics": [{"name": "q", "query": "up", "minimum": 1}]}}),
    ),
    ("spec.strategy.canary.scaleDownDelay", document(strategy={"canary": {"scaleDownDelay": "x"}})),
    ("spec.strategy.blueGreen.previewHeaderRoute.match", with_blue_green(previewHeaderRoute={})),
    ("spec.strategy.blueGreen.autoPromotion", with_blue_green(autoPromotion=1)),
    (
        "spec.strategy.blueGreen.prePromotionAnalysis",
        with_blue_green(prePromotionAnalysis={"metrics": [{"name": "q", "query": "up", "minimum": 1}]}),
    ),
    (
        "spec.strategy.blueGreen.postPromotionAnalysis",
        with_blue_green(postPromotionAnalysis={"metrics": [{"name": "q", "query": "up", "minimum": 1}]}),
    ),
    ("spec.analysis.interval", document(analysis={"interval": "500ms"})),
    ("spec.analysis.window", document(analysis={"interval": "1m", "window": "10s"})),
    ("spec.analysis.failureLimit", document(analysis={"failureLimit": -1})),
    ("spec.analysis.source", document(analysis={"source": "datadog"})),
    ("spec.analysis.prometheus", document(analysis={"source": "prometheus"})),
    ("spec.analysis.prometheus.address", document(analysis={"prometheus": {"address": "prometheus:9090"}})),
    ("spec.analysis.metrics", document(analysis={"metrics": []})),
    ("spec.analysis.metrics", with_metric(query="up", minimum=1)),
    (METRIC, with_metric(minimum=1)),
    (METRIC, with_metric(successRate={}, latency={}, minimum=1)),
    (METRIC, with_metric(successRate={})),
    (f"{METRIC}.minimum", with_metric(successRate={}, minimum=2, maximum=1)),
    (f"{METRIC}.latency.quantile", with_metric(latency={"quantile": 1}, maximum=1)),
    (f"{METRIC}.higherIsBetter", with_metric(latency={}, maximum=1, higherIsBetter=True)),
    (f"{METRIC}.againstStable.tolerance", with_metric(latency={}, againstStable={"tolerance": -1})),
    (f"{METRIC}.successRate.failureCodes[0]", with_metric(successRate={"failureCodes": ["oops"]}, minimum=1)),
    (
        "spec.analysis.metrics[1].name",
        document(analysis={"metrics": [{"name": "a", "successRate": {}, "minimum": 1}] * 2}),
    ),
    ("spec.progressDeadlineSeconds", document(progressDeadlineSeconds=0)),
    ("spec.revisionHistoryLimit", document(revisionHistoryLimit=-1)),
    ("spec.rollbackWindow.revisions", document(rollbackWindow={})),
    ("spec.apis[0].servedBy", document(apis=[{"name": "a"}])),
    ("spec.apis[0].sunset", document(apis=[{"name": "a", "servedBy": ["1"], "sunset": "soon"}])),
    (
        "spec.apis[0].sunset",
        document(apis=[{"name": "a", "servedBy": ["1"], "deprecated": "2027-01-01", "sunset": "2026-01-01"}]),
    ),
    ("spec.apis[1].name", document(apis=[{"name": "a", "servedBy": ["1"]}] * 2)),
    ("spec.onDelete", document(onDelete="Explode")),
    ("spec.vresion", document(vresion="1")),
    ("apiVersion", document() | {"apiVersion": "meshwright.dev/v9"}),
    ("kind", document() | {"kind": "Rollout"}),
]


@pytest.mark.parametrize(("where", "bad"), BAD, ids=[f"{index}-{where}" for index, (where, _) in enumerate(BAD)])
def test_what_is_refused_names_its_field(where: str, bad: dict[str, Any]) -> None:
    with pytest.raises(BadInputError) as caught:
        parse(bad)
    assert where in [problem.where for problem in caught.value.problems], str(caught.value)


def test_a_command_must_be_one() -> None:
    bad = document()
    bad["metadata"]["annotations"] = {COMMAND_ANNOTATION: "explode@1"}
    with pytest.raises(BadInputError, match="promote-full"):
        parse(bad)


def test_a_command_is_read() -> None:
    good = document()
    good["metadata"]["annotations"] = {COMMAND_ANNOTATION: "promote-full@abc"}
    found = parse(good).command
    assert found is not None
    assert (found.verb, found.token) == (Verb.PROMOTE_FULL, "abc")


def test_the_service_cannot_be_changed() -> None:
    with pytest.raises(BadInputError, match=r"spec\.service"):
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
    assert (step.analysis.count, step.analysis.interval) == (9, 7.0)  # type: ignore[union-attr]


def test_every_rule_of_the_cluster_has_its_twin() -> None:
    def messages(part: Any) -> set[str]:
        if isinstance(part, list):
            return {message for item in part for message in messages(item)}
        if not isinstance(part, dict):
            return set()
        own = {rule["message"] for rule in part.get("x-kubernetes-validations", ())}
        return own | {message for item in part.values() for message in messages(item)}

    found = {message for message in messages(schema()) if not message.startswith("exactly one of")}
    assert found == set(rules.TWINS)


def test_the_crd_is_rendered_from_the_schema() -> None:
    render = runpy.run_path(str(ROOT / "scripts/make_crd.py"))["render"]
    assert CRD.read_text() == render(), "run scripts/make_crd.py"


def test_the_crd_has_its_columns_and_subresources() -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns == ["Version", "Stable", "Phase", "Step", "Weight", "Ready", "Age"]
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
