"""The unit tests of the pages' JavaScript, by Node's own test runner."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_the_pages_pure_parts_pass_their_tests() -> None:
    command = [str(ROOT / "scripts" / "javascript.sh"), "test"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if reason := re.match(r"JavaScript skipped: (.*)", ran.stdout):
        pytest.skip(reason[1])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^\S+ pass (\d+)$", ran.stdout, re.MULTILINE)
    assert passed is not None, ran.stdout
    assert int(passed[1]) > 0
