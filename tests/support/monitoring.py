"""The chart's rules, monitors and dashboards as they render, and the real promtool and Prometheus."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.helm import CHART, helm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESH = "mesh/mw"
ON = "monitoring.scrape.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true"


@functools.cache
def _text(settings: tuple[str, ...]) -> str:
    more = [argument for setting in settings for argument in ("--set", setting)]
    done = helm("template", "mw", CHART, "--namespace", "mesh", "--kube-version", "1.34.0", "--set", ON, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _documents(settings: tuple[str, ...]) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(_text(settings), loader) if each]


def rendered(*settings: str) -> list[dict[str, Any]]:
    """The chart's documents as release `mw` in namespace `mesh`, with monitoring on and these settings more."""
    return copy.deepcopy(_documents(settings))


def of_kind(kind: str, *settings: str) -> list[dict[str, Any]]:
    return [each for each in rendered(*settings) if each["kind"] == kind]


def rules(*settings: str) -> dict[str, Any]:
    (rule,) = of_kind("PrometheusRule", *settings)
    found: dict[str, Any] = rule["spec"]
    return found


def alerts(*settings: str) -> dict[str, dict[str, Any]]:
    groups = rules(*settings)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def panels() -> Iterator[tuple[str, str, str]]:
    """(dashboard, panel, expression) of each query."""
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield path.stem, panel["title"], target["expr"]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH: scripts/system-packages.sh installs Debian's package prometheus")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=300)
