"""The real helm, and the chart as it renders. `python -m support.helm` (from tests/) writes the goldens anew."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def parsed(text: str) -> list[dict[str, Any]]:
    """What a text of YAML documents says; by libyaml, ten times as fast as PyYAML's own parser."""
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def template(values: Mapping[str, Any] | str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with a values file of this content, made in `folder`."""
    file = folder / "values.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values), "utf-8")
    place = ("--namespace", "mesh", "--kube-version", "1.34.0", "--values", str(file))
    return helm("template", "meshwright", CHART, *place, *more)


def manifests(values: Mapping[str, Any] | str, folder: Path, *more: str) -> list[dict[str, Any]]:
    """The objects that the chart renders with these values."""
    done = template(values, folder, *more)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def the(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of that kind and name."""
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == f"meshwright-{name}"]
    return found


def golden(values: Path) -> Path:
    return GOLDENS / f"{values.stem.removesuffix('-values')}.yaml"


if __name__ == "__main__":
    for each in VALUES:
        golden(each).write_text(render(each), "utf-8")
