"""The schema beyond JSON schema: defaults, unique list keys, and the CEL rules' twins in Python.

The API server evaluates `x-kubernetes-validations`; this module evaluates, for each rule of the same schema,
the predicate in `TWINS` under the rule's message. A test fails for a rule without a twin.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.errors import Violation
from meshwright.schema import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meshwright.rollout.api.schema_parts import Schema

_ONE_OF = re.compile(r"exactly one of (.*) must be set")
LONGEST_NAME = 62
TRANSITIONS = frozenset({"service cannot be changed"})
"""Rules that need the object as it was before: `meshwright.rollout.api.parsing.refuse_change`."""


def seconds(duration: str) -> float:
    """A duration (`1h30m`, `500ms`) that the schema has accepted; the longest that there is for one that is longer."""
    try:
        return durations.seconds(durations.parse(duration))
    except ValueError:
        return durations.seconds(durations.LONGEST)


def with_defaults(value: Any, schema: Schema) -> Any:
    """The value with every default of the schema filled in, as the API server does it."""
    if isinstance(value, dict) and "properties" in schema:
        found = dict(value)
        for name, child in schema["properties"].items():
            if name not in found and "default" in child:
                found[name] = child["default"]
            if name in found:
                found[name] = with_defaults(found[name], child)
        return found
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(item, schema["items"]) for item in value]
    return value


def broken(value: Any, schema: Schema, path: tuple[str | int, ...] = ()) -> Iterator[Violation]:
    """Every rule that the (defaulted) value breaks."""
    for rule in schema.get("x-kubernetes-validations", ()):
        message = rule["message"]
        field, holds = _twin(message)
        if message not in TRANSITIONS and not holds(value):
            yield Violation(place([*path, *field]), message)
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from broken(value[name], child, (*path, name))
    elif isinstance(value, list) and "items" in schema:
        yield from _repeated(value, schema, path)
        for index, item in enumerate(value):
            yield from broken(item, schema["items"], (*path, index))


def _repeated(items: list[Any], schema: Schema, path: tuple[str | int, ...]) -> Iterator[Violation]:
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        seen: set[Any] = set()
        for index, item in enumerate(items):
            if item[key] in seen:
                yield Violation(place([*path, index, key]), f"is there twice: {item[key]!r}")
            seen.add(item[key])


_Twin = tuple[tuple[str, ...], "Callable[[Any], bool]"]


def _twin(message: str) -> _Twin:
    match = _ONE_OF.fullmatch(message)
    if match:
        names = match.group(1).split(", ")
        return (), lambda value: sum(name in value for name in names) == 1
    return TWINS[message]


def _within(value: Mapping[str, Any], lower: str, upper: str) -> bool:
    return lower not in value or upper not in value or bool(value[lower] <= value[upper])


def _asks(metrics: Any) -> bool:
    return any("query" in metric for metric in metrics or ())


def _from_prometheus(spec: Mapping[str, Any]) -> bool:
    return bool(spec["analysis"]["source"] == "prometheus")


def _steps_may_ask(spec: Mapping[str, Any]) -> bool:
    steps = spec["strategy"].get("canary", {}).get("steps", ())
    return _from_prometheus(spec) or not any(_asks(step.get("analysis", {}).get("metrics")) for step in steps)


def _promotion_may_ask(name: str) -> Callable[[Any], bool]:
    def holds(spec: Mapping[str, Any]) -> bool:
        found = spec["strategy"].get("blueGreen", {}).get(name, {})
        return _from_prometheus(spec) or not _asks(found.get("metrics"))

    return holds


TWINS: dict[str, _Twin] = {
    "quantile must lie between 0 and 1": (("quantile",), lambda value: 0 < value["quantile"] < 1),
    "at least one of minimum, maximum, againstStable must be set": (
        (),
        lambda value: bool({"minimum", "maximum", "againstStable"} & set(value)),
    ),
    "minimum must not be greater than maximum": (("minimum",), lambda value: _within(value, "minimum", "maximum")),
    "higherIsBetter belongs to a query": (
        ("higherIsBetter",),
        lambda value: "higherIsBetter" not in value or "query" in value,
    ),
    "interval must be at least 1s": (
        ("interval",),
        lambda value: "interval" not in value or seconds(value["interval"]) >= 1,
    ),
    "window must not be shorter than interval": (
        ("window",),
        lambda value: (
            not {"interval", "window"} <= set(value) or seconds(value["window"]) >= seconds(value["interval"])
        ),
    ),
    "source prometheus needs prometheus.address": (
        ("prometheus",),
        lambda value: value["source"] != "prometheus" or "prometheus" in value,
    ),
    "a query needs source prometheus": (
        ("metrics",),
        lambda value: value["source"] == "prometheus" or not _asks(value["metrics"]),
    ),
    "matchTrafficWeight can only be true": (
        ("matchTrafficWeight",),
        lambda value: value.get("matchTrafficWeight", True),
    ),
    "sunset must not be earlier than deprecated": (("sunset",), lambda value: _within(value, "deprecated", "sunset")),
    "a query in a step needs analysis.source prometheus": (("strategy", "canary", "steps"), _steps_may_ask),
    **{
        f"a query in {name} needs analysis.source prometheus": (
            ("strategy", "blueGreen", name),
            _promotion_may_ask(name),
        )
        for name in ("prePromotionAnalysis", "postPromotionAnalysis")
    },
    "version can be left out with workloadRef only": (
        ("version",),
        lambda value: "version" in value or "workloadRef" in value,
    ),
    "service cannot be changed": ((), lambda _: True),
    "metadata.name and spec.version must not have more than 62 characters together, for the workloads' names": (
        ("spec", "version"),
        lambda value: len(value["metadata"]["name"]) + len(value["spec"].get("version", "")) <= LONGEST_NAME,
    ),
}
