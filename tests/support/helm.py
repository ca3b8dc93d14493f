"""The real helm, and the chart as it renders. `python -m support.helm` (from tests/) writes the goldens anew."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "meshwright"
GOLDENS = ROOT / "tests" / "goldens" / "chart"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def find_helm() -> Path | None:
    found = shutil.which("helm") or shutil.which(ROOT / ".tools/helm/helm")
    return Path(found) if found else None


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    binary = find_helm()
    if binary is None:
        pytest.skip("no helm on PATH or in .tools: run scripts/tools.d/helm.sh")
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False, timeout=60)


def render(values: Path) -> str:
    done = helm("template", "meshwright", CHART, "--namespace", "mesh", "--kube-version", "1.34.0", "--values", values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def golden(values: Path) -> Path:
    return GOLDENS / f"{values.stem.removesuffix('-values')}.yaml"


if __name__ == "__main__":
    for each in VALUES:
        golden(each).write_text(render(each), "utf-8")
