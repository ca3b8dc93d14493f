"""The script that fetches the real Consul says why it cannot, and leaves one that is there alone."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with nothing but the script, and a PATH (tree/bin) with nothing but what it needs to get going."""
    (tmp_path / "scripts/tools.d").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/tools.d/consul.sh", tmp_path / "scripts/tools.d")
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "awk", "mkdir", "mktemp", "rm", "tail"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def provide(tree: Path, name: str, script: str = "exit 0") -> None:
    file = tree / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def run(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [tree / "scripts/tools.d/consul.sh"]
    return subprocess.run(command, env={"PATH": str(tree / "bin")}, capture_output=True, text=True, check=False)


def test_without_apt_it_says_so(tree):
    outcome = run(tree)
    assert outcome.returncode == 1
    assert outcome.stderr == "consul: not on PATH, and without apt-get it cannot be fetched: install Consul yourself\n"


def test_a_mirror_that_does_not_answer_is_said_and_nothing_stays_behind(tree):
    provide(tree, "dpkg")
    mirror = 'if [ "$1" = indextargets ]; then echo "http://127.0.0.1:9/debian Debian Debian"; exit; fi'
    provide(tree, "apt-get", f"{mirror}\necho no route >&2; exit 100")
    outcome = run(tree)
    assert outcome.returncode == 1
    assert outcome.stderr == "consul: cannot read Debian bullseye from the mirror: no route\n"
    assert list((tree / ".tools").iterdir()) == []


def test_a_consul_on_the_path_is_enough(tree):
    provide(tree, "consul")
    assert run(tree).returncode == 0
    assert not (tree / ".tools").exists()
