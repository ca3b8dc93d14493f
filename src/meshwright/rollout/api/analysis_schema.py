"""The part of the schema that is about analyses: metrics, thresholds, counts. See `meshwright.rollout.api.schema`."""

from __future__ import annotations

from meshwright.rollout.api.schema_parts import (
    ADDRESS,
    HEADER,
    LABEL,
    Schema,
    flag,
    many,
    obj,
    one_of,
    rule,
    span,
    text,
    whole,
)

FAILURES = [
    *(
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
    ),
    *(
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
    ),
    *("DATA_LOSS", "UNAUTHENTICATED"),
]
"""gRPC's status codes but OK."""

HEADER_MATCH = obj(
    "A condition on one metadata key of the call.",
    {
        "header": text("the name of a header in lower case", 128, HEADER),
        "exact": text("The header's whole value.", 256),
        "prefix": text("What the header's value begins with.", 256),
        "regex": text("An RE2 expression that matches the header's whole value.", 256),
    },
    ["header"],
    rules=[one_of("exact", "prefix", "regex")],
)

_METRIC = obj(
    "One figure and what it must be.",
    {
        "name": text("a name of lower-case letters, digits and dashes", 63, LABEL),
        "successRate": obj(
            "The share of calls, 0 to 1, that did not fail by the server's fault.",
            {
                "failureCodes": many(
                    "The gRPC status codes that count as failures.",
                    {"type": "string", "description": "One of gRPC's status codes.", "enum": FAILURES},
                    16,
                    minItems=1,
                )
            },
        ),
        "latency": obj(
            "A quantile of the calls' durations, in seconds.",
            {"quantile": {"type": "number", "description": "Between 0 and 1.", "default": 0.99}},
            rules=[rule("self.quantile > 0.0 && self.quantile < 1.0", "quantile must lie between 0 and 1")],
        ),
        "query": text(
            "A PromQL query that gives one number; {{service}}, {{version}} and {{window}} are filled in.", 2048
        ),
        "minimum": {"type": "number", "description": "The least value that passes."},
        "maximum": {"type": "number", "description": "The greatest value that passes."},
        "againstStable": obj(
            "Compare with the stable version in the same window.",
            {
                "tolerance": {
                    "type": "number",
                    "minimum": 0,
                    "description": "How much worse it may be, as a share of the stable version's value.",
                    "default": 0.05,
                }
            },
        ),
        "higherIsBetter": flag("Which way a query's value is good; known for the other kinds."),
    },
    ["name"],
    rules=[
        one_of("successRate", "latency", "query"),
        rule(
            "has(self.minimum) || has(self.maximum) || has(self.againstStable)",
            "at least one of minimum, maximum, againstStable must be set",
        ),
        rule(
            "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum",
            "minimum must not be greater than maximum",
        ),
        rule("!has(self.higherIsBetter) || has(self.query)", "higherIsBetter belongs to a query"),
    ],
)


def step_analysis(description: str) -> Schema:
    """An analysis within a strategy: it overrides fields of `spec.analysis`, and uses that one's source."""
    return obj(description, _measuring({}), rules=_MEASURING_RULES)


def spec_analysis(description: str) -> Schema:
    """`spec.analysis`: with all defaults, and the source."""
    background = flag("Whether it also runs while the steps are walked and the canary can be called.", default=True)
    source = {
        "type": "string",
        "enum": ["scrape", "prometheus"],
        "default": "scrape",
        "description": "Where figures come from: the instances that Consul lists, or Prometheus.",
    }
    address = text("an address such as http://prometheus:9090", 512, ADDRESS)
    prometheus = obj("The Prometheus server.", {"address": address}, ["address"])
    properties = {"background": background, **_measuring(DEFAULTS), "source": source, "prometheus": prometheus}
    return obj(description, properties, rules=[*_MEASURING_RULES, *_SOURCE_RULES], default={})


DEFAULTS: Schema = {
    "interval": "2s",
    "window": "30s",
    "count": 5,
    "failureLimit": 1,
    "inconclusiveLimit": 30,
    "minimumCalls": 5,
    "metrics": [{"name": "success-rate", "successRate": {}, "minimum": 0.95}],
}
_MEASURING_RULES = [
    rule("!has(self.interval) || duration(self.interval) >= duration('1s')", "interval must be at least 1s"),
    rule(
        "!has(self.interval) || !has(self.window) || duration(self.window) >= duration(self.interval)",
        "window must not be shorter than interval",
    ),
]
# The API server evaluates these for the default value as well, which is empty then.
_SOURCE_RULES = [
    rule(
        "!has(self.source) || self.source != 'prometheus' || has(self.prometheus)",
        "source prometheus needs prometheus.address",
    ),
    rule(
        "has(self.source) && self.source == 'prometheus' || !has(self.metrics) || "
        "self.metrics.all(metric, !has(metric.query))",
        "a query needs source prometheus",
    ),
]


def _measuring(defaults: Schema) -> Schema:
    inconclusive = "Inconclusive measurements in a row that are tolerated; one more pauses the rollout."
    as_map: Schema = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    found = {
        "interval": span("how often it measures, at least 1s"),
        "window": span("how far a measurement looks back"),
        "count": whole("Measurements that make an analysis step pass.", 1, 10_000),
        "failureLimit": whole("Failed measurements that are tolerated.", 0, 10_000),
        "inconclusiveLimit": whole(inconclusive, 0, 100_000),
        "minimumCalls": whole("With fewer calls a measurement is inconclusive.", 1, 1_000_000),
        "metrics": many("All of them must pass.", _METRIC, 10, minItems=1, **as_map),
    }
    return {name: part | ({"default": defaults[name]} if name in defaults else {}) for name, part in found.items()}
