"""The rules of the schema in CEL, evaluated, against their twins in Python.

A cluster evaluates the former, a laptop the latter. Here both are asked about the same objects, as an API server has
them when it asks: defaults filled in, the schema kept, and numbers of the schema's type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cel
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from meshwright.rollout.api import schema_rules
from meshwright.rollout.api.schema import ROOT_RULES, SPEC
from support.kubernetes.rollouts import BAD, document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANALYSIS = SPEC["properties"]["analysis"]
METRIC = ANALYSIS["properties"]["metrics"]["items"]
ROOT = {"type": "object", "properties": {"spec": SPEC}, "x-kubernetes-validations": ROOT_RULES}
DURATIONS = st.sampled_from(["1ms", "999ms", "1s", "1.5s", "59s", "1m", "1m0.5s", "0.02h", "90s", "1h30m"])
QUERY = {"name": "q", "query": "up", "minimum": 1}
RATE = {"name": "r", "successRate": {}, "minimum": 0.9}
_METRICS = st.lists(st.sampled_from([QUERY, RATE]), min_size=1, max_size=2, unique_by=lambda metric: metric["name"])
_DATES = st.sampled_from(["2026-01-01", "2026-01-31", "2026-02-01", "2027-01-01"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_ASKED = optional(metrics=_METRICS, interval=DURATIONS, window=DURATIONS)
_STRATEGIES = st.one_of(
    st.builds(lambda steps: {"canary": {"steps": steps}}, st.lists(optional(analysis=_ASKED), max_size=2)),
    st.builds(lambda asked: {"blueGreen": asked}, optional(prePromotionAnalysis=_ASKED, postPromotionAnalysis=_ASKED)),
)
_SOURCE = st.sampled_from(
    [{}, {"source": "prometheus"}, {"source": "prometheus", "prometheus": {"address": "http://p:1"}}]
)
_ANALYSES = st.builds(lambda asked, source: asked | source, _ASKED, _SOURCE)
_API = st.builds(lambda dates: {"name": "a", "servedBy": ["1"]} | dates, optional(deprecated=_DATES, sunset=_DATES))
SPECS = optional(
    analysis=_ANALYSES,
    strategy=_STRATEGIES,
    apis=st.lists(_API, max_size=1),
    version=st.sampled_from(["1.0.0", "1" * 58, "1" * 59]),
)
METRICS = st.builds(
    lambda fields: {"name": "m"} | fields,
    optional(
        successRate=st.just({}),
        latency=optional(quantile=st.sampled_from([0, 0.5, 0.99, 1, 1.5])),
        query=st.just("up"),
        minimum=st.sampled_from([0, 0.5, 1, 2]),
        maximum=st.sampled_from([0, 0.5, 1, 2]),
        againstStable=st.just({}),
        higherIsBetter=st.booleans(),
    ),
)


def as_typed(value: Any, part: Mapping[str, Any]) -> Any:
    """As an API server hands it to CEL: what the schema calls a number is one, also where it was written as 1."""
    if isinstance(value, dict):
        known = part.get("properties", {})
        return {name: as_typed(item, known.get(name, {})) for name, item in value.items()}
    if isinstance(value, list):
        return [as_typed(item, part.get("items", {})) for item in value]
    return float(value) if part.get("type") == "number" and not isinstance(value, bool) else value


def broken_in_cel(value: Any, part: Mapping[str, Any]) -> Iterator[str]:
    """The message of each rule that does not hold."""
    for rule in part.get("x-kubernetes-validations", ()):
        if rule["message"] in schema_rules.TRANSITIONS:
            continue
        if cel.evaluate(rule["rule"], {"self": as_typed(value, part)}) is not True:
            yield rule["message"]
    if isinstance(value, dict):
        for name, child in part.get("properties", {}).items():
            if name in value:
                yield from broken_in_cel(value[name], child)
    elif isinstance(value, list):
        for item in value:
            yield from broken_in_cel(item, part.get("items", {}))


def compare(value: Any, part: Any) -> list[str]:
    found = schema_rules.with_defaults(value, part)
    in_cel = sorted(broken_in_cel(found, part))
    twice = "is there twice"  # what a list's key says, which is no rule
    in_python = sorted(one.message for one in schema_rules.broken(found, part) if not one.message.startswith(twice))
    assert in_cel == in_python
    return in_cel


@given(METRICS)
@settings(max_examples=300)
@example({"name": "m", "latency": {"quantile": 1}, "maximum": 1})
@example({"name": "m", "successRate": {}, "minimum": 1, "maximum": 0.5})
def test_a_metric_is_judged_alike(metric: dict[str, Any]) -> None:
    compare(metric, METRIC)


@given(SPECS)
@settings(max_examples=300)
@example({"analysis": {"interval": "1m", "window": "59s"}})
def test_a_spec_is_judged_alike(spec: dict[str, Any]) -> None:
    compare(document(**spec), ROOT)


def breaks_rules(bad: dict[str, Any]) -> bool:
    """Whether the schema's other keywords accept it: rules are asked about nothing else."""
    return Draft202012Validator(SPEC).is_valid(schema_rules.with_defaults(bad.get("spec"), SPEC))


RULED_OUT = [(place, bad) for place, bad in BAD if breaks_rules(bad)]


@pytest.mark.parametrize("bad", [bad for _, bad in RULED_OUT], ids=[place for place, _ in RULED_OUT])
def test_what_is_refused_is_refused_by_the_same_rules(bad: dict[str, Any]) -> None:
    compare(bad, ROOT)


def test_each_rule_is_broken_by_some_document() -> None:
    """The comparisons above say something of every rule."""
    found = {message for _, bad in RULED_OUT for message in compare(bad, ROOT)}
    assert set(schema_rules.TWINS) - schema_rules.TRANSITIONS - found == set()
