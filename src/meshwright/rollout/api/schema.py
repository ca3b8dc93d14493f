"""The schema of a `VersionedRollout`, once, for both places where one is written.

A cluster checks helm/meshwright/crds/versionedrollouts.yaml, which `scripts/make_crd.py` renders from this module (a
test compares them); a laptop checks the same objects through `meshwright.rollout.api.parsing`. CEL rules
(`x-kubernetes-validations`) express what JSON schema cannot; each has a twin in `meshwright.rollout.api.schema_rules`
under the same message.

Two habits come from elsewhere. A structural schema may not forbid unknown keys: the API server prunes them, and the
laptop refuses them (`strict`). And the description of a string with a pattern completes "expected ...".
"""

from __future__ import annotations

from meshwright.rollout.api.analysis_schema import HEADER_MATCH, spec_analysis, step_analysis
from meshwright.rollout.api.schema_parts import (
    DATE,
    LABEL,
    VERSION,
    VERSION_PATTERN,
    flag,
    many,
    obj,
    one_of,
    rule,
    span,
    text,
    whole,
)

_STEP_ANALYSIS = step_analysis("Measure until there is a verdict; the rest is as in spec.analysis.")

_STEP = obj(
    "One step; exactly one key.",
    {
        "setWeight": whole("The canary's share of the calls, in per cent.", 0, 100),
        "pause": obj(
            "Wait for a duration; without one, until promote.",
            {"duration": span("how long to wait")},
        ),
        "setCanaryScale": obj(
            "The canary's instances from this step on.",
            {
                "replicas": whole("A number of instances.", 1, 1000),
                "weight": whole("A share of spec.replicas, in per cent.", 1, 100),
                "matchTrafficWeight": flag("In proportion to its share of the calls."),
            },
            rules=[
                one_of("replicas", "weight", "matchTrafficWeight"),
                rule(
                    "!has(self.matchTrafficWeight) || self.matchTrafficWeight",
                    "matchTrafficWeight can only be true",
                ),
            ],
        ),
        "setHeaderRoute": obj(
            "Calls that satisfy all of match go to the canary; without match the route is removed.",
            {
                "name": text("a name of lower-case letters, digits and dashes", 63, LABEL),
                "match": many("Conditions that must all hold.", HEADER_MATCH, 10),
            },
            ["name"],
        ),
        "analysis": _STEP_ANALYSIS,
    },
    rules=[one_of("setWeight", "pause", "setCanaryScale", "setHeaderRoute", "analysis")],
)

_STRATEGY = obj(
    "How calls are moved to a new version.",
    {
        "canary": obj(
            "Step by step; after the last step the canary gets all calls and is promoted.",
            {
                "steps": many("Executed in order.", _STEP, 50),
                "scaleDownDelay": span(
                    "how long the version before keeps its instances after a promotion", default="30s"
                ),
            },
        ),
        "blueGreen": obj(
            "The new version starts with all instances, is analysed, and gets all calls at once.",
            {
                "previewHeaderRoute": obj(
                    "Calls that go to the new version before its promotion.",
                    {
                        "name": text("a name of lower-case letters, digits and dashes", 63, LABEL, default="preview"),
                        "match": many("Conditions that must all hold.", HEADER_MATCH, 10, minItems=1),
                    },
                    ["match"],
                ),
                "prePromotionAnalysis": step_analysis("Must pass before the calls move."),
                "postPromotionAnalysis": step_analysis("Must pass after the calls moved."),
                "autoPromotion": flag("False: wait for promote before the calls move.", default=True),
                "scaleDownDelay": span(
                    "how long the version before keeps its instances after a promotion", default="30s"
                ),
            },
        ),
    },
    rules=[one_of("canary", "blueGreen")],
)

_TEMPLATE = obj(
    "A pod template as in a Deployment.",
    {
        "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "spec": obj(
            "A pod's spec.",
            {
                "containers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                }
            },
            ["containers"],
            is_open=True,
        ),
    },
    ["spec"],
)

_API = obj(
    "A row of the support matrix.",
    {
        "name": text("A proto package (demo.user.v1) or a REST version (/v1).", 128),
        "servedBy": many(
            "The versions that serve it; 2.* stands for all that begin with 2. (dot included).",
            text("a version such as 2.0.0 or 2.*", 47, VERSION_PATTERN),
            100,
            minItems=1,
        ),
        "deprecated": text("a date such as 2026-12-31: the date of the deprecation", 10, DATE),
        "sunset": text("a date such as 2026-12-31: from when it may go while it is still called", 10, DATE),
    },
    ["name", "servedBy"],
    rules=[
        rule(
            "!has(self.deprecated) || !has(self.sunset) || self.deprecated <= self.sunset",
            "sunset must not be earlier than deprecated",
        )
    ],
)

_STEP_QUERIES = (
    "self.analysis.source == 'prometheus' || !has(self.strategy.canary) || !has(self.strategy.canary.steps) || "
    "self.strategy.canary.steps.all(step, !has(step.analysis) || !has(step.analysis.metrics) || "
    "step.analysis.metrics.all(metric, !has(metric.query)))"
)


def _promotion_queries(name: str) -> str:
    return (
        f"self.analysis.source == 'prometheus' || !has(self.strategy.blueGreen) || "
        f"!has(self.strategy.blueGreen.{name}) || !has(self.strategy.blueGreen.{name}.metrics) || "
        f"self.strategy.blueGreen.{name}.metrics.all(metric, !has(metric.query))"
    )


SPEC = obj(
    "The desired state.",
    {
        "service": text(
            "a service's name in Consul: lower-case letters, digits and dashes",
            63,
            LABEL,
            **{"x-kubernetes-validations": [rule("self == oldSelf", "service cannot be changed")]},
        ),
        "version": text(
            "a version such as 2.0.0; with workloadRef it may be left to the Deployment's template", 47, VERSION
        ),
        "replicas": whole("Instances of the version that serves all calls.", 1, 1000, default=1),
        "template": _TEMPLATE,
        "workloadRef": obj(
            "An existing Deployment whose pod template the versions use.",
            {
                "apiVersion": {"type": "string", "enum": ["apps/v1"], "default": "apps/v1"},
                "kind": {"type": "string", "enum": ["Deployment"], "default": "Deployment"},
                "name": text("the name of a Deployment", 253, r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"),
            },
            ["name"],
        ),
        "paused": flag("True: calls and instances stay unchanged.", default=False),
        "strategy": _STRATEGY,
        "analysis": spec_analysis("How metric values become a verdict."),
        "progressDeadlineSeconds": whole("Seconds without progress until the rollout aborts.", 1, 86_400, default=600),
        "revisionHistoryLimit": whole("The number of promoted versions in the history.", 0, 100, default=5),
        "rollbackWindow": obj(
            "A version among the last promoted ones skips the steps.",
            {"revisions": whole("How many versions back.", 0, 100)},
            ["revisions"],
        ),
        "apis": many(
            "Which APIs each version serves; a rollout does not remove an API that is still called.",
            _API,
            50,
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
        "onDelete": {
            "type": "string",
            "enum": ["Restore", "Leave"],
            "default": "Restore",
            "description": "What becomes of the traffic rules when this resource is deleted.",
        },
    },
    ["service", "strategy"],
    rules=[
        one_of("template", "workloadRef"),
        rule("has(self.version) || has(self.workloadRef)", "version can be left out with workloadRef only"),
        rule(_STEP_QUERIES, "a query in a step needs analysis.source prometheus"),
        rule(
            _promotion_queries("prePromotionAnalysis"),
            "a query in prePromotionAnalysis needs analysis.source prometheus",
        ),
        rule(
            _promotion_queries("postPromotionAnalysis"),
            "a query in postPromotionAnalysis needs analysis.source prometheus",
        ),
    ],
)


ROOT_RULES = [
    rule(
        "!has(self.spec.version) || size(self.metadata.name) + size(self.spec.version) <= 62",
        "metadata.name and spec.version must not have more than 62 characters together, for the workloads' names",
    )
]
