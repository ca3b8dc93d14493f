"""Each alert of the chart, by promtool: it fires when it should, and stays quiet in the case that is closest to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from integration.chart.prometheus import MESH, alerts, promtool, rules
from support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOR = 'namespace="shop",rollout="user"'
HOURS = 60
NOTHING = "0x{n}"
PHASE = "meshwright_rollout_phase"
SINCE = "meshwright_rollout_since_timestamp_seconds"
PASSED = "meshwright_rollout_last_pass_timestamp_seconds"


@dataclass(frozen=True)
class Case:
    """Series by which an alert fires at minute `at`, and those by which it does not; `{n}` is the count of samples."""

    fires: dict[str, str]
    quiet: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    """Of the alert that fires, beside its name, severity and mesh."""
    at: int = 90


def call(
    status: str, side: str = "server", version: str = "2.0.0", method: str = "demo.user.v1.UserService/Get"
) -> str:
    labels = f'side="{side}",service="user",version="{version}",method="{method}",status="{status}"'
    return f"grpc_requests_total{{{labels}}}"


def took(series: str) -> str:
    labels = 'side="server",service="user",version="2.0.0",method="demo.user.v1.UserService/Get"'
    bound = ',le="0.5"' if series == "bucket" else ""
    return f"grpc_request_duration_seconds_{series}{{{labels}{bound}}}"


def calls(failing: float, **more: str) -> dict[str, str]:
    """100 calls a minute, of which so many fail."""
    return {call("OK", **more): f"0+{100 - failing:g}x{{n}}", call("INTERNAL", **more): f"0+{failing:g}x{{n}}"}


def slow(count: float) -> dict[str, str]:
    timing = {took("count"): "0+100x{n}", took("bucket"): f"0+{100 - count:g}x{{n}}"}
    return calls(0) | timing


def unanswered(count: float) -> dict[str, str]:
    answered = {call("OK", side="client"): f"0+{100 - count:g}x{{n}}"}
    return answered | {call("UNAVAILABLE", side="client", version=""): f"0+{count:g}x{{n}}"}


def rollout(phase: str, since: float, reason: str = "StepStarted") -> dict[str, str]:
    info = f'meshwright_rollout_info{{{FOR},service="user",stable="1",target="2",reason="{reason}"}}'
    return {
        f'{PHASE}{{{FOR},phase="{phase}"}}': "1x{n}",
        f"{SINCE}{{{FOR}}}": f"{since:g}x{{n}}",
        f"{PASSED}{{{FOR}}}": "0+60x{n}",
        info: "1x{n}",
    }


def gauge(name: str, value: float, **labels: str) -> dict[str, str]:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return {f"{name}{{{inside}}}": f"{value:g}x{{n}}"}


OF_VERSION = {"service": "user", "version": "2.0.0"}
OF_ROLLOUT = {"namespace": "shop", "rollout": "user"}
FOLLOWED = {"service": "userview", "source": "user"}
CASES = {
    "ErrorBudgetBurnFast": Case(calls(5), calls(0.2), OF_VERSION),
    "ErrorBudgetBurnSlow": Case(calls(0.5), calls(0.05), OF_VERSION, at=27 * HOURS),
    "LatencyBudgetBurnFast": Case(slow(20), slow(2), OF_VERSION),
    "LatencyBudgetBurnSlow": Case(slow(4), slow(0.5), OF_VERSION, at=27 * HOURS),
    "UnansweredCallsFast": Case(unanswered(5), unanswered(0.2), {"service": "user"}),
    "UnansweredCallsSlow": Case(unanswered(0.5), unanswered(0.05), {"service": "user"}, at=27 * HOURS),
    "ControlPlaneDown": Case(gauge("meshwright_synced", 0, instance="a"), gauge("meshwright_synced", 1, instance="a")),
    "ControlPlaneWithoutStreams": Case(
        gauge("meshwright_ads_streams", 0, kind="grpc") | unanswered(0),
        gauge("meshwright_ads_streams", 1, kind="grpc") | unanswered(0),
    ),
    "XdsRefused": Case(
        gauge("meshwright_ads_refusing_streams", 1, type="cluster"),
        gauge("meshwright_ads_refusing_streams", 0, type="cluster")
        | gauge("meshwright_ads_nacks_total", 7, type="cluster"),
        {"type": "cluster"},
    ),
    "ConfigNotHonoured": Case(gauge("meshwright_problems", 2), gauge("meshwright_problems", 0)),
    "ControlPlaneLostConsul": Case(
        gauge("meshwright_consul_up", 0, instance="a"),
        gauge("meshwright_consul_up", 1, instance="a"),
        {"instance": "a"},
    ),
    "ConsulLostState": Case(gauge("meshwright_held_services", 3), gauge("meshwright_held_services", 0)),
    "InstanceNotRegistered": Case(
        gauge("meshwright_instance_registered", 0, **OF_VERSION, instance="a")
        | gauge("meshwright_instance_registered", 1, **OF_VERSION, instance="b"),
        gauge("meshwright_instance_registered", 1, **OF_VERSION, instance="a"),
        OF_VERSION,
    ),
    "TargetDown": Case(gauge("up", 0, service="user"), gauge("up", 1, service="user"), {"service": "user"}),
    "RolloutStuck": Case(
        rollout("Progressing", since=600), rollout("Progressing", since=600, reason="PauseStep"), OF_ROLLOUT
    ),
    "RolloutPausedTooLong": Case(
        rollout("Paused", since=600), rollout("Progressing", since=600), OF_ROLLOUT, at=26 * HOURS
    ),
    "RolloutAborted": Case(rollout("Aborted", since=0), rollout("Aborting", since=0), OF_ROLLOUT),
    "RolloutInvalid": Case(rollout("Invalid", since=0), rollout("Healthy", since=0), OF_ROLLOUT),
    "RolloutFailing": Case(
        {f"meshwright_rollout_failures_total{{{FOR}}}": "0+30x{n}"},
        {f"meshwright_rollout_failures_total{{{FOR}}}": "500+1x{n}"},
        OF_ROLLOUT,
    ),
    "OperatorDown": Case({}, gauge("meshwright_operator_rollouts", 0, instance="a")),
    "OperatorWithoutLease": Case(
        gauge("meshwright_operator_namespace", 0, namespace="shop", state="Holding", instance="a"),
        gauge("meshwright_operator_namespace", 0, namespace="shop", state="Holding", instance="a")
        | gauge("meshwright_operator_namespace", 1, namespace="shop", state="Holding", instance="b"),
        {"namespace": "shop"},
    ),
    "OperatorNotReconciling": Case(
        rollout("Healthy", since=0) | {f"{PASSED}{{{FOR}}}": "60x{n}"},
        rollout("Invalid", since=0) | {f"{PASSED}{{{FOR}}}": "60x{n}"},
        OF_ROLLOUT,
    ),
    "OutboxStopped": Case(
        gauge("outbox_oldest_event_age_seconds", 300, service="user", source="user"),
        gauge("outbox_oldest_event_age_seconds", 2, service="user", source="user"),
        {"source": "user"},
    ),
    "EventBusLost": Case(
        gauge("nats_connected", 0, service="user", instance="a")
        | gauge("nats_connected", 1, service="user", instance="b"),
        gauge("nats_connected", 1, service="user", instance="a"),
        {"service": "user"},
    ),
    "EventBusRefuses": Case(gauge("nats_refusing_streams", 1), gauge("nats_refusing_streams", 0)),
    "DeadLetters": Case(
        {'event_consumer_dead_letters_total{service="userview",source="user"}': "0x70 1x{n}"},
        gauge("event_consumer_dead_letters_total", 9, **FOLLOWED),
        FOLLOWED,
    ),
    "EventConsumerFailing": Case(
        {'event_consumer_failures_total{service="userview",source="user"}': "0+100x{n}"},
        gauge("event_consumer_failures_total", 9, **FOLLOWED),
        FOLLOWED,
    ),
    "EventConsumerBehind": Case(
        gauge("event_consumer_pending_events", 5000, **FOLLOWED),
        gauge("event_consumer_pending_events", 20, **FOLLOWED),
        FOLLOWED,
    ),
    "SagaNeedsAttention": Case(
        gauge("saga_orders", 1, state="NEEDS_ATTENTION"), gauge("saga_orders", 5, state="COMPENSATING")
    ),
    "SagaStuck": Case(gauge("saga_overdue_seconds", 600), gauge("saga_overdue_seconds", 3)),
}


def series(given: dict[str, str], minutes: int) -> list[dict[str, str]]:
    """In the mesh of the release."""
    with_mesh = {name.replace("{", f'{{mesh="{MESH}",', 1).replace(",}", "}"): values for name, values in given.items()}
    return [{"series": name, "values": values.format(n=minutes)} for name, values in with_mesh.items()]


def test(case: Case, alert: str, given: dict[str, str], samples: list[dict[str, Any]]) -> dict[str, Any]:
    """One test of promtool: which of the alert's series fire at that minute."""
    asked = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    expected = {"expr": asked, "eval_time": f"{case.at}m", "exp_samples": samples}
    return {"interval": "1m", "input_series": series(given, case.at), "promql_expr_test": [expected]}


test.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return rules()


def around(spec: dict[str, Any], alert: str) -> dict[str, Any]:
    """The alert, and what is recorded for it: promtool evaluates all that it is given, of a whole day if need be."""
    rules = [rule for group in spec["groups"] for rule in group["rules"]]
    needed = [rule for rule in rules if rule.get("alert") == alert]
    for rule in needed:  # grows as it goes
        needed += [each for each in rules if "record" in each and each["record"] in rule["expr"] and each not in needed]
    groups = [group | {"rules": [rule for rule in group["rules"] if rule in needed]} for group in spec["groups"]]
    return {"groups": [group for group in groups if group["rules"]]}


def run(folder: Path, spec: dict[str, Any], test: dict[str, Any], every: str = "1m") -> str:
    """What promtool complains about."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    file = folder / "tests.yaml"
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": [test]}
    file.write_text(yaml.safe_dump(document), "utf-8")
    done = promtool("test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def burning(folder: Path, spec: dict[str, Any], case: Case, samples: list[dict[str, Any]]) -> str:
    """The same for the alert on a fast burn of the error budget."""
    alert = "MeshwrightErrorBudgetBurnFast"
    return run(folder, around(spec, alert), test(case, alert, case.fires, samples))


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_should_and_only_then(name: str, spec: dict[str, Any], tmp_path: Path) -> None:
    case, alert = CASES[name], f"Meshwright{name}"
    rule = next(rule for group in spec["groups"] for rule in group["rules"] if rule.get("alert") == alert)
    labels = {"alertname": alert, "alertstate": "firing", "mesh": MESH, **rule["labels"], **case.labels}
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    every, some = "5m" if case.at > 120 else "1m", around(spec, alert)
    fires = test(case, alert, case.fires, [{"labels": f"ALERTS{{{inside}}}", "value": 1}])
    assert run(tmp_path, some, fires, every) == ""
    assert run(tmp_path, some, test(case, alert, case.quiet, []), every) == ""


def test_a_version_that_is_hardly_called_raises_no_alert_by_a_single_failure(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    few = {call("OK"): "0x{n}", call("INTERNAL"): "0x60 1x{n}"}
    case = Case(few, few)
    assert burning(tmp_path, spec, case, []) == ""


def test_health_checks_that_fail_are_no_failures_of_a_service(spec: dict[str, Any], tmp_path: Path) -> None:
    checks = calls(0) | calls(100, method="grpc.health.v1.Health/Check")
    case = Case(checks, checks)
    assert burning(tmp_path, spec, case, []) == ""


def test_a_gateway_that_answers_500_burns_its_budget(spec: dict[str, Any], tmp_path: Path) -> None:
    of = 'service="gateway",version="1.0.0",method="GET",route="/api/v1/users"'
    given = {
        f'http_requests_total{{{of},status="200"}}': "0+90x{n}",
        f'http_requests_total{{{of},status="503"}}': "0+10x{n}",
    }
    labels = f'alertname="MeshwrightErrorBudgetBurnFast",alertstate="firing",mesh="{MESH}",service="gateway"'
    sample = {"labels": f'ALERTS{{{labels},severity="critical",version="1.0.0"}}', "value": 1}
    case = Case(given, given)
    assert burning(tmp_path, spec, case, [sample]) == ""


def test_another_release_in_the_same_prometheus_is_its_own_rules_business(spec: dict[str, Any], tmp_path: Path) -> None:
    theirs = {name.replace("{", '{mesh="mesh/other",', 1): text for name, text in calls(50).items()}
    given = [{"series": name, "values": text.format(n=90)} for name, text in theirs.items()]
    alone = 'ALERTS{alertname!~"Meshwright(Operator|ControlPlane)Down"}'
    asked = {"expr": alone, "eval_time": "90m", "exp_samples": []}
    assert run(tmp_path, spec, {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}) == ""


def test_each_alert_has_a_case_words_and_a_page_to_go_on_from() -> None:
    found = alerts()
    assert set(found) == {f"Meshwright{name}" for name in CASES}
    headings = {
        line.removeprefix("## ").strip().lower()
        for line in (ROOT / "docs/how-to/runbooks.md").read_text("utf-8").splitlines()
        if line.startswith("## ")
    }
    for name, rule in found.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        words = rule["annotations"]
        assert words.keys() == {"summary", "description", "runbook_url"}
        assert words["runbook_url"].partition("#")[2] == name.lower()
        assert name.lower() in headings


def test_promtool_finds_the_rules_sound(spec: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(spec), "utf-8")
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert done.returncode == 0, done.stdout + done.stderr
