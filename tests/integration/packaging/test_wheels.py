"""What the wheels of the operator and the demo hold, and what the developer's environment runs."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path

import pytest

from integration.packaging import installed
from support.processes import ROOT


def top_level(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize(
    ("folder", "packages"), [("operator", {"meshwright_operator"}), ("services", {"demo", "services"})]
)
def test_a_wheel_holds_its_own_packages(folder: str, packages: set[str], tmp_path: Path) -> None:
    made = installed.wheel(ROOT / folder, tmp_path)
    assert top_level(made) == packages
    with zipfile.ZipFile(made) as archive:
        names = set(archive.namelist())
    assert not any("__pycache__" in name for name in names)
    if folder == "services":
        assert {"services/demo.toml", "services/gateway/pages/shop/goods.js", "demo/user/v1/user_pb2.py"} <= names


def test_the_librarys_wheel_holds_the_pages(tmp_path: Path) -> None:
    with zipfile.ZipFile(installed.wheel(ROOT, tmp_path)) as archive:
        names = set(archive.namelist())
    shared, traces = "meshwright/pages/shared/page.js", "meshwright/dev/traces/ui/assets"
    assert {shared, f"{traces}/index.html", f"{traces}/app.js", f"{traces}/icon.svg"} <= names


@pytest.mark.parametrize("package", ["meshwright", "meshwright_operator", "services", "demo"])
def test_the_tests_run_the_checkout(package: str) -> None:
    """An installation that copied the sources would test what they were."""
    (place,) = importlib.import_module(package).__path__
    assert Path(place).is_relative_to(ROOT)
    assert "site-packages" not in place
