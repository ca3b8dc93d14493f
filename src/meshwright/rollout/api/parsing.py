"""From the resource as a document to `Rollout`, or to every reason why not, each with its field."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshwright.errors import ValidationError, Violation
from meshwright.rollout.api import spec as values
from meshwright.rollout.api.routing import HeaderMatch
from meshwright.rollout.api.schema import ROOT_RULES, SPEC
from meshwright.rollout.api.schema_parts import LABEL, obj, strict, text
from meshwright.rollout.api.schema_rules import broken, seconds, with_defaults
from meshwright.rollout.api.vocabulary import (
    API_VERSION,
    COMMAND_ANNOTATION,
    KIND,
    AnalysisSource,
    CommandName,
    MetricKind,
    OnDelete,
)
from meshwright.schema import place, violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshwright.rollout.api.schema_parts import Schema

_DOCUMENT: Schema = obj(
    "A VersionedRollout.",
    {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": KIND},
        "metadata": obj(
            "", {"name": text("a name of lower-case letters, digits and dashes", 63, LABEL)}, ["name"], is_open=True
        ),
        "spec": strict(SPEC),
        "status": {},
    },
    ["apiVersion", "kind", "metadata", "spec"],
    additionalProperties=False,
)
_ANY_TEMPLATE: dict[str, Any] = {"spec": {"containers": [{}]}}
_RULES: Schema = {"properties": {"spec": SPEC}, "x-kubernetes-validations": ROOT_RULES}


def parse(document: Mapping[str, Any]) -> values.Rollout:
    """The resource as values; `ValidationError` with every problem, each naming its field, where it is not valid."""
    problems = list(violations(document, _DOCUMENT))
    if problems:
        raise ValidationError(_source(document), problems)
    whole = {**document, "spec": with_defaults(document["spec"], SPEC)}
    problems = [*broken(whole, _RULES), *_bad_expressions(whole["spec"], ("spec",)), *_bad_command(whole)]
    if problems:
        raise ValidationError(_source(document), problems)
    return _rollout(whole["metadata"], whole["spec"])


def parse_on_laptop(document: Mapping[str, Any]) -> values.Rollout:
    """`parse` for `meshwright up`: the topology defines the processes, so `template` and `workloadRef` may be
    missing."""
    spec = document.get("spec")
    if isinstance(spec, dict) and not {"template", "workloadRef"} & spec.keys():
        document = {**document, "spec": {**spec, "template": _ANY_TEMPLATE}}
    rollout = parse(document)
    if not rollout.version:
        text = "must be set here: there is no Deployment with a template to take it from"
        raise ValidationError(_source(document), [Violation("spec.version", text)])
    return rollout


def refuse_change(before: values.Rollout, after: values.Rollout) -> None:
    """What a resource may not become, having been something else: the twin of the schema's transition rules."""
    if before.service != after.service:
        raise ValidationError(f"{KIND} {after.name}", [Violation("spec.service", "service cannot be changed")])


def _source(document: Any) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{KIND} {name}".strip()


def _bad_expressions(value: Any, path: tuple[str | int, ...]) -> Iterator[Violation]:
    """Regular expressions that do not compile, which a schema cannot express. The pod template is not checked."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "regex" and isinstance(child, str):
                try:
                    re.compile(child)
                except re.error as error:
                    yield Violation(place([*path, key]), f"is not a regular expression: {error}")
            elif key != "template":
                yield from _bad_expressions(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _bad_expressions(child, (*path, index))


def _bad_command(document: Mapping[str, Any]) -> Iterator[Violation]:
    said = (document["metadata"].get("annotations") or {}).get(COMMAND_ANNOTATION)
    if said is None:
        return
    name, _, token = str(said).partition("@")
    if name not in set(CommandName) or not token:
        names = ", ".join(CommandName)
        where = place(["metadata", "annotations", COMMAND_ANNOTATION])
        yield Violation(where, f"expected <command>@<token> with one of {names}, not {said!r}")


def _rollout(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> values.Rollout:
    said = (metadata.get("annotations") or {}).get(COMMAND_ANNOTATION)
    name, _, token = str(said or "").partition("@")
    reference = spec.get("workloadRef")
    analysis = _analysis(spec["analysis"], values.Analysis())
    return values.Rollout(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "default",
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 1),
        service=spec["service"],
        version=spec.get("version", ""),
        replicas=spec["replicas"],
        template=spec.get("template"),
        workload_ref=values.WorkloadRef(reference["name"], reference["kind"], reference["apiVersion"])
        if reference
        else None,
        paused=spec["paused"],
        strategy=_strategy(spec["strategy"], analysis),
        analysis=analysis,
        progress_deadline=float(spec["progressDeadlineSeconds"]),
        revision_history_limit=spec["revisionHistoryLimit"],
        rollback_window=spec.get("rollbackWindow", {}).get("revisions", 0),
        apis=tuple(
            values.Api(api["name"], tuple(api["servedBy"]), api.get("deprecated", ""), api.get("sunset", ""))
            for api in spec.get("apis", ())
        ),
        on_delete=OnDelete(spec["onDelete"]),
        command=values.Command(CommandName(name), token) if said else None,
    )


def _strategy(strategy: Mapping[str, Any], analysis: values.Analysis) -> values.Canary | values.BlueGreen:
    if "canary" in strategy:
        canary = strategy["canary"]
        steps = tuple(_step(step, index, analysis) for index, step in enumerate(canary.get("steps", ())))
        return values.Canary(steps, seconds(canary["scaleDownDelay"]))
    asked = strategy["blueGreen"]

    def run(name: str) -> values.Analysis | None:
        return _analysis(asked[name], analysis) if name in asked else None

    return values.BlueGreen(
        preview=_header_route(asked["previewHeaderRoute"]) if "previewHeaderRoute" in asked else None,
        pre_promotion=run("prePromotionAnalysis"),
        post_promotion=run("postPromotionAnalysis"),
        auto_promotion=asked["autoPromotion"],
        scale_down_delay=seconds(asked["scaleDownDelay"]),
    )


def _step(step: Mapping[str, Any], index: int, analysis: values.Analysis) -> values.Step:
    ((key, value),) = step.items()
    if key == "setWeight":
        return values.SetWeight(value)
    if key == "pause":
        return values.Pause(seconds(value["duration"]) if "duration" in value else None)
    if key == "setCanaryScale":
        return values.SetCanaryScale(value.get("replicas"), value.get("weight"), value.get("matchTrafficWeight", False))
    if key == "setHeaderRoute":
        return _header_route(value)
    return values.AnalysisStep(_analysis(value, analysis), f"step-{index + 1}")


def _header_route(value: Mapping[str, Any]) -> values.SetHeaderRoute:
    matches = tuple(
        HeaderMatch(match["header"], match.get("exact"), match.get("prefix"), match.get("regex"))
        for match in value.get("match", ())
    )
    return values.SetHeaderRoute(value["name"], matches)


_COUNTS = {
    "background": "background",
    "count": "count",
    "failureLimit": "failure_limit",
    "inconclusiveLimit": "inconclusive_limit",
    "minimumCalls": "minimum_calls",
}


def _analysis(value: Mapping[str, Any], base: values.Analysis) -> values.Analysis:
    """The fields that are set; the others from `base`."""
    changes: dict[str, Any] = {ours: value[theirs] for theirs, ours in _COUNTS.items() if theirs in value}
    changes |= {name: seconds(value[name]) for name in ("interval", "window") if name in value}
    if "metrics" in value:
        changes["metrics"] = tuple(_metric(metric) for metric in value["metrics"])
    if "source" in value:
        changes["source"] = AnalysisSource(value["source"])
    if "prometheus" in value:
        changes["prometheus"] = value["prometheus"]["address"].rstrip("/")
    return replace(base, **changes)


def _metric(value: Mapping[str, Any]) -> values.Metric:
    kind = next(kind for kind in MetricKind if kind in value)
    rate = value.get("successRate", {})
    against = value.get("againstStable")
    return values.Metric(
        name=value["name"],
        kind=kind,
        minimum=value.get("minimum"),
        maximum=value.get("maximum"),
        against_stable=values.AgainstStable(against["tolerance"]) if against is not None else None,
        quantile=value.get("latency", {}).get("quantile", 0.99),
        query=value.get("query", ""),
        failure_codes=frozenset(rate["failureCodes"]) if "failureCodes" in rate else values.FAILURE_CODES,
        higher_is_better=kind is MetricKind.SUCCESS_RATE or value.get("higherIsBetter", False),
    )
