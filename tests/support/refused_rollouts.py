"""Rollouts that must be refused, each with the field that the refusal names: on a laptop and by an API server alike."""

from __future__ import annotations

from typing import Any

from support.rollouts import document

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
