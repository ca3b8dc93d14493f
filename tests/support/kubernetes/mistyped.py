"""Files of a VersionedRollout as people get them wrong: each with what a message must name."""

from __future__ import annotations

from dataclasses import dataclass

BASE = """\
apiVersion: meshwright.dev/v1alpha1
kind: VersionedRollout
metadata:
  name: typo
spec:
  service: typo
  version: 2.0.0
  replicas: 2
  template:
    spec:
      containers:
        - name: typo
          image: example.org/typo:2
  strategy:
    canary:
      steps:
        - setHeaderRoute:
            name: testers
            match: [{header: x-tester, exact: "yes"}]
        - setWeight: 10
        - pause: {duration: 10s}
        - analysis: {count: 5}
  analysis:
    interval: 2s
    metrics:
      - name: success-rate
        successRate: {}
        minimum: 0.99
  rollbackWindow: {revisions: 2}
  apis:
    - name: demo.typo.v1
      servedBy: ["1.*", "2.*"]
      deprecated: "2026-12-01"
      sunset: "2027-06-01"
"""
_CANARY = BASE[BASE.index("    canary:") : BASE.index("  analysis:\n")]
_STEP = "spec.strategy.canary.steps[{}]"
_METRIC = "spec.analysis.metrics[0]"


TAKES = "-"


@dataclass(frozen=True)
class Mistyped:
    """`old` in the file became `new`. `field`: what `meshwright rollout lint` names; `said`: a part of its message.
    `kubectl`: what the cluster's message names; empty: the last part of `field`; TAKES: kubectl sees nothing wrong."""

    name: str
    old: str
    new: str
    field: str
    said: str
    kubectl: str = ""

    @property
    def text(self) -> str:
        assert BASE.count(self.old) == 1, self.name
        return BASE.replace(self.old, self.new)

    @property
    def word(self) -> str:
        return self.kubectl or self.field.rpartition(".")[2].partition("[")[0]


TYPOS = [
    # Misspelt.
    Mistyped("version misspelt", "  version:", "  vresion:", "spec.vresion", "did you mean version?"),
    Mistyped("replicas in capitals", "  replicas:", "  Replicas:", "spec.Replicas", "did you mean replicas?"),
    Mistyped("step misspelt", "setWeight:", "setweight:", _STEP.format(1) + ".setweight", "did you mean setWeight?"),
    Mistyped("canary misspelt", "    canary:", "    cannary:", "spec.strategy.cannary", "did you mean canary?"),
    Mistyped("minimum misspelt", "minimum:", "min:", f"{_METRIC}.min", "did you mean minimum?"),
    Mistyped(
        "kind misspelt",
        "kind: VersionedRollout",
        "kind: VersionedRolout",
        "kind",
        '"VersionedRollout"',
        "VersionedRolout",
    ),
    Mistyped("version of the API", "v1alpha1", "v1", "apiVersion", '"meshwright.dev/v1alpha1"', "meshwright.dev/v1"),
    # Of the wrong type.
    Mistyped("version is a number", "version: 2.0.0", "version: 2.0", "spec.version", "in quotes"),
    Mistyped("replicas in words", "replicas: 2", "replicas: two", "spec.replicas", "expected an integer"),
    Mistyped("replicas quoted", "replicas: 2", 'replicas: "2"', "spec.replicas", "expected an integer"),
    Mistyped(
        "weight with a sign", "setWeight: 10", "setWeight: 10%", _STEP.format(1) + ".setWeight", "expected an integer"
    ),
    Mistyped(
        "header's value unquoted",
        'exact: "yes"',
        "exact: yes",
        _STEP.format(0) + ".setHeaderRoute.match[0].exact",
        "quote",
    ),
    Mistyped(
        "match is no list",
        '[{header: x-tester, exact: "yes"}]',
        '{header: x-tester, exact: "yes"}',
        _STEP.format(0) + ".setHeaderRoute.match",
        "expected a list",
    ),
    Mistyped(
        "steps is no list",
        _CANARY,
        "    canary:\n      steps:\n        setWeight: 10\n",
        "spec.strategy.canary.steps",
        "expected a list",
    ),
    Mistyped("date unquoted", 'sunset: "2027-06-01"', "sunset: 2027-13-01", "spec.apis[0].sunset", "a date such as"),
    # Out of range.
    Mistyped("weight above 100", "setWeight: 10", "setWeight: 110", _STEP.format(1) + ".setWeight", "100"),
    Mistyped("no replicas", "replicas: 2", "replicas: 0", "spec.replicas", "1"),
    Mistyped("revisions below 0", "revisions: 2", "revisions: -1", "spec.rollbackWindow.revisions", "0"),
    Mistyped("interval below a second", "interval: 2s", "interval: 100ms", "spec.analysis.interval", "1s"),
    Mistyped(
        "sunset before deprecation", '"2027-06-01"', '"2026-06-01"', "spec.apis[0].sunset", "earlier than deprecated"
    ),
    # None of what there is.
    Mistyped("onDelete", "  replicas: 2", "  replicas: 2\n  onDelete: Keep", "spec.onDelete", "Restore, Leave"),
    Mistyped("source", "interval: 2s", "source: datadog", "spec.analysis.source", "scrape, prometheus"),
    Mistyped(
        "failure code",
        "successRate: {}",
        "successRate: {failureCodes: [BAD]}",
        f"{_METRIC}.successRate.failureCodes[0]",
        "UNAVAILABLE",
    ),
    Mistyped("kind of header match", "exact:", "equals:", _STEP.format(0) + ".setHeaderRoute.match[0].equals", "exact"),
    Mistyped("duration", "duration: 10s", "duration: 10 seconds", _STEP.format(2) + ".pause.duration", "expected"),
    Mistyped(
        "duration without a unit",
        "duration: 10s",
        "duration: 10",
        _STEP.format(2) + ".pause.duration",
        "a duration such as",
    ),
    Mistyped(
        "header in capitals",
        "header: x-tester",
        "header: X-Tester",
        _STEP.format(0) + ".setHeaderRoute.match[0].header",
        "lower",
    ),
    Mistyped("service with a space", "service: typo", "service: the typo", "spec.service", "lower-case"),
    # Both, or neither, of what excludes each other.
    Mistyped(
        "two strategies", _CANARY, _CANARY + "    blueGreen: {}\n", "spec.strategy", "exactly one of canary, blueGreen"
    ),
    Mistyped(
        "template and reference",
        "  replicas: 2",
        "  replicas: 2\n  workloadRef: {name: typo}",
        "spec",
        "exactly one of template, workloadRef",
        "template",
    ),
    Mistyped(
        "two keys in a step",
        "- setWeight: 10\n        - pause",
        "- setWeight: 10\n          pause",
        _STEP.format(1),
        "exactly one of setWeight",
    ),
    Mistyped(
        "two kinds of metric",
        "successRate: {}",
        "successRate: {}\n        latency: {}",
        _METRIC,
        "exactly one of successRate",
    ),
    Mistyped("metric without a bound", "        minimum: 0.99\n", "", _METRIC, "minimum"),
    # Missing.
    Mistyped("no service", "  service: typo\n", "", "spec.service", "is required and missing"),
    Mistyped("no strategy", "  strategy:\n" + _CANARY, "", "spec.strategy", "is required and missing"),
    Mistyped(
        "no name of the route",
        "            name: testers\n",
        "",
        _STEP.format(0) + ".setHeaderRoute.name",
        "is required and missing",
    ),
    Mistyped("no name", "  name: typo\n", "  labels: {}\n", "metadata.name", "is required and missing", "name"),
    # In the wrong place.
    Mistyped(
        "steps without canary", "    canary:\n      steps:", "    steps:\n      steps:", "spec.strategy.steps", "canary"
    ),
    Mistyped("replicas of the document", "spec:\n  service", "replicas: 2\nspec:\n  service", "replicas", "unknown"),
    Mistyped(
        "paused in the strategy", "  strategy:\n", "  strategy:\n    paused: true\n", "spec.strategy.paused", "unknown"
    ),
    # No YAML, or YAML that says something twice.
    Mistyped("a tab", "  version: 2.0.0", "\tversion: 2.0.0", "line 7", "a tab", "line 7"),
    Mistyped("a bracket too few", 'exact: "yes"}]', 'exact: "yes"}', "line 20", "", "line"),
    Mistyped("a quote too few", 'deprecated: "2026-12-01"', 'deprecated: "2026-12-01', "line", "", "line"),
    Mistyped("badly indented", "  replicas: 2", "   replicas: 2", "line 8", "", "line 8"),
    Mistyped("a field twice", "  replicas: 2", "  replicas: 2\n  replicas: 3", "line 9", "replicas", TAKES),
    Mistyped(
        "a second document",
        "apiVersion: mesh",
        "apiVersion: v1\nkind: Rollout\nmetadata: {name: other}\n---\napiVersion: mesh",
        "kind",
        "VersionedRollout",
        "Rollout",
    ),
]
