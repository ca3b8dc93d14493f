"""The real helm, and the chart as it renders.

`python -m support.kubernetes.chart` (from tests/) writes the goldens anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping


CHART = ROOT / "helm" / "meshwright"
GOLDENS = ROOT / "tests" / "goldens" / "chart"
_VALUES = "(the values file)"
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
    done = rendered(values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with these values. The same chart, values and arguments are rendered once, whichever worker asks.

    A render takes half a second of a processor, and hundreds of tests look at what a few dozen values files give.
    """
    command = ("template", "meshwright", CHART, "--namespace", "mesh", "--kube-version", "1.34.0", "--values")
    if any(argument.startswith(("--set-file", "--values", "-f")) for argument in more):
        return helm(*command, values, *more)  # it reads files besides
    key = hashlib.sha256(repr((_chart_hash(), values.read_text("utf-8"), more)).encode()).hexdigest()
    kept = Path(tempfile.gettempdir()) / f"meshwright-rendered-{os.getuid()}" / key
    if not kept.exists():
        done = helm(*command, values, *more)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        writing = kept.with_suffix(f".{os.getpid()}")
        writing.write_text(
            json.dumps([done.returncode, done.stdout, done.stderr.replace(str(values), _VALUES)]), "utf-8"
        )
        writing.rename(kept)
    code, out, err = json.loads(kept.read_text("utf-8"))
    return subprocess.CompletedProcess(command, code, out, err.replace(_VALUES, str(values)))


@functools.cache
def _chart_hash() -> str:
    """What a render depends on besides values and arguments: the chart, and which helm it is."""
    digest = hashlib.sha256(str(find_helm()).encode())
    for file in sorted(CHART.rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(CHART)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def parsed(text: str) -> list[dict[str, Any]]:
    """What a text of YAML documents says; by libyaml, ten times as fast as PyYAML's own parser."""
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def template(values: Mapping[str, Any] | str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`helm template` with a values file of this content, made in `folder`."""
    file = folder / "values.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values), "utf-8")
    return rendered(file, *more)


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
