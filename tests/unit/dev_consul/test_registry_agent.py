"""The agent over injected time: time to live, reaping, outputs that are held back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshwright.dev.consul.api import requests
from meshwright.dev.consul.catalog.agent import CHECK_UPDATE_INTERVAL, MAX_OUTPUT

if TYPE_CHECKING:
    from meshwright.dev.consul.state import State


def register(state: State, now: float = 0.0, **check: Any) -> None:
    body = json.dumps({"Name": "web", "Check": {"CheckID": "c", **check}}).encode()
    service, checks = requests.service(body, state.node, min_deregister=state.min_deregister)
    state.agent.register(service, checks, now)


def status(state: State) -> str:
    return state.catalog.checks[state.node, "c"].status


def test_a_ttl_check_lives_as_long_as_it_is_heard_of(state: State) -> None:
    register(state, TTL="10s", Status="passing")
    state.agent.beat("c", "passing", "", 8.0)
    state.agent.expire(17.9)
    assert status(state) == "passing"
    state.agent.expire(18.0)
    assert status(state) == "critical"


def test_a_service_that_is_critical_for_too_long_is_forgotten(state: State) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s", DeregisterCriticalServiceAfter="90s")
    assert state.agent.reap(90.0) == []
    assert state.agent.reap(90.1) == ["web"]
    assert list(state.catalog.instances("web")) == []


def test_less_than_a_minute_of_patience_counts_as_a_minute(state: State) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s", DeregisterCriticalServiceAfter="5s")
    assert state.agent.reap(59.0) == []
    assert state.agent.reap(60.5) == ["web"]


def test_being_well_in_between_starts_the_patience_anew(state: State) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s", DeregisterCriticalServiceAfter="60s")
    state.agent.report("c", "passing", "", 50.0)
    state.agent.report("c", "critical", "", 55.0)
    assert state.agent.reap(100.0) == []
    assert state.agent.reap(116.0) == ["web"]


def test_a_repeated_registration_does_not_renew_the_patience(state: State) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s", DeregisterCriticalServiceAfter="60s")
    register(state, now=59.0, GRPC="127.0.0.1:1", Interval="1s", DeregisterCriticalServiceAfter="60s")
    assert state.agent.reap(61.0) == ["web"]


def test_a_repeated_registration_leaves_the_running_check_alone(state: State, runner: Any) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s")
    register(state, GRPC="127.0.0.1:1", Interval="1s")
    assert runner.started == ["c"]
    register(state, GRPC="127.0.0.1:2", Interval="1s")
    assert runner.started == ["c", "c"]


def test_a_state_that_came_with_the_registration_is_believed_for_a_while(state: State, runner: Any) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s", Status="passing")
    assert runner.at_once == [False]


def test_an_output_that_changed_alone_reaches_the_catalog_after_five_minutes(state: State) -> None:
    register(state, TTL="1h", Status="passing")
    row = (state.node, "c")
    state.agent.beat("c", "passing", "1 ms", 1.0)
    state.agent.beat("c", "passing", "2 ms", 2.0)
    state.agent.expire(CHECK_UPDATE_INTERVAL + 0.9)
    assert state.catalog.checks[row].output == ""
    state.agent.expire(CHECK_UPDATE_INTERVAL + 1.0)
    assert state.catalog.checks[row].output == "2 ms"


def test_a_new_status_takes_the_output_that_was_held_back_with_it(state: State) -> None:
    register(state, TTL="1h", Status="passing")
    state.agent.beat("c", "passing", "1 ms", 1.0)
    state.agent.beat("c", "warning", "2 ms", 2.0)
    assert state.catalog.checks[state.node, "c"].output == "2 ms"
    before = state.store.index
    state.agent.expire(CHECK_UPDATE_INTERVAL + 1.0)
    assert state.store.index == before


def test_a_long_output_keeps_its_end(state: State) -> None:
    register(state, TTL="1h")
    state.agent.beat("c", "passing", "x" * MAX_OUTPUT + "the end", 1.0)
    output = state.agent.checks["c"].row.output
    assert output.startswith("Captured 4096 of 4103 bytes")
    assert output.endswith("the end")


def test_a_report_that_comes_after_the_service_left_is_dropped(state: State) -> None:
    register(state, GRPC="127.0.0.1:1", Interval="1s")
    state.agent.deregister("web")
    state.agent.report("c", "passing", "late", 1.0)
    assert (state.node, "c") not in state.catalog.checks
