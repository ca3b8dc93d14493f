"""What `rollout watch` draws."""

from __future__ import annotations

from typing import Any

from meshwright.cli.rollout.view import summary, tree
from support.kubernetes.rollouts import START, document

VERSIONS = [
    {"version": "1.0.0", "role": "stable", "weight": 80, "desired": 2, "running": 2, "healthy": 2},
    {"version": "2.0.0", "role": "canary", "weight": 20, "desired": 1, "running": 1, "healthy": 1},
]


def drawn(status: dict[str, Any], **spec: Any) -> list[str]:
    return [text for text, _ in tree(document("2.0.0", **spec) | {"status": status}, now=START + 75)]


def test_a_rollout_on_its_way_shows_versions_weights_and_where_it_stands() -> None:
    status = {"phase": "Progressing", "stable": "1.0.0", "target": "2.0.0", "step": 1, "versions": VERSIONS}
    lines = drawn(status | {"message": "waiting"})
    assert lines[0] == "◌ user  Progressing  waiting"
    assert "version 2.0.0   stable 1.0.0" in lines[1]
    versions = [line for line in lines if "healthy" in line]
    assert ["1.0.0" in versions[0], "80 %" in versions[0], versions[0].count("█")] == [True, True, 16]
    assert ["2.0.0" in versions[1], "20 %" in versions[1], versions[1].count("█")] == [True, True, 4]
    steps = lines[lines.index("  steps") + 1 :]
    assert [step.split()[1] for step in steps] == ["✔", "▶", "·", "·"], steps


def test_what_is_promoted_has_walked_all_its_steps() -> None:
    lines = drawn({"phase": "Healthy", "stable": "2.0.0", "versions": VERSIONS[1:]})
    assert all("✔" in line for line in lines[lines.index("  steps") + 1 :])


def test_an_analysis_shows_its_figures_beside_those_of_the_stable_version() -> None:
    figure = {"metric": "success-rate", "value": 0.5, "stable": 0.999, "calls": 120, "verdict": "Failed"}
    run = {
        "name": "background",
        "startedAt": "2026-01-01T00:00:00Z",
        "verdict": "Failed",
        "passed": 1,
        "failed": 3,
        "figures": [figure],
    }
    lines = drawn({"phase": "Aborted", "stable": "1.0.0", "analyses": [run]})
    assert any("background" in line and "1 passed, 3 failed" in line for line in lines)
    assert "       success-rate 0.5 (stable 0.999) of 120 calls" in lines


def test_the_line_of_a_rollout_changes_with_what_it_does_and_not_with_each_measurement() -> None:
    status = {"phase": "Paused", "message": "waits for `promote`", "step": 1, "steps": 3, "versions": VERSIONS}
    run = {"name": "background", "startedAt": "2026-01-01T00:00:00Z", "verdict": "Running", "passed": 1}
    resource = document("2.0.0") | {"status": {**status, "analyses": [run]}}
    line = summary(resource)
    assert line == (
        "user: Paused, step 2 of 3; waits for `promote`; 1.0.0 stable 80 %, 2 of 2 healthy; "
        "2.0.0 canary 20 %, 1 of 1 healthy; analysis background running"
    )
    assert summary(resource | {"status": {**status, "analyses": [run | {"passed": 2}]}}) == line


def test_a_resource_without_a_status_can_be_drawn() -> None:
    assert drawn({})[0].startswith("◌ user  Pending")
