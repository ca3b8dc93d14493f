"""What the control plane's log says of problems."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from meshwright.controlplane.problems import say_changes
from meshwright.errors import Violation

if TYPE_CHECKING:
    import pytest


def test_a_problem_is_logged_once_as_what_it_is_and_once_when_it_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hint = Violation("hello", "calls to /demo.calculator.v1. at an Envoy reach calculator, which has it too")
    said = say_changes(frozenset(), [hint])
    said = say_changes(said, [hint])
    say_changes(said, [])
    assert [record.getMessage() for record in caplog.records] == [f"problem: {hint}", f"mended: {hint}"]
