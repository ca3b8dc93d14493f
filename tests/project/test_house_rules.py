"""House rules that no linter knows: who reads the environment, where a third party's door is, what may not land."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
from pathlib import Path

import grimp
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "src" / "meshwright"
OURS = [PRODUCT, ROOT / "services", ROOT / "operator"]


def sources() -> list[Path]:
    return sorted(path for folder in OURS for path in folder.rglob("*.py"))


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def reads_environment(path: Path) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "environb", "getenv", "putenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]


def test_only_config_reads_the_environment() -> None:
    offenders = {str(path.relative_to(ROOT)): lines for path in sources() if (lines := reads_environment(path))}
    assert set(offenders) == {"src/meshwright/config.py"}, offenders
    from_os = [path for path in sources() if imports(path) & {"os.environ", "os.getenv"}]
    assert from_os == []


@pytest.mark.parametrize(
    ("third_party", "door"),
    [("consul", PRODUCT / "consul"), ("opentelemetry.sdk", PRODUCT / "telemetry"), ("kopf", ROOT / "operator")],
)
def test_a_third_party_has_one_door(third_party: str, door: Path) -> None:
    users = [
        path
        for path in sources()
        if any(name == third_party or name.startswith(f"{third_party}.") for name in imports(path))
    ]
    strangers = [path for path in users if path != door.with_suffix(".py") and not path.is_relative_to(door)]
    assert strangers == []


def test_the_operator_folder_cannot_shadow_the_standard_library() -> None:
    here = ROOT / "operator"
    assert not (here / "__init__.py").exists(), "with an __init__.py here, `import operator` finds this folder"
    stray = [path for path in here.iterdir() if path.suffix == ".py"]
    assert stray == []


def test_services_have_the_five_files_and_the_gateway_a_room_for_each_capability() -> None:
    for folder in sorted(path.parent for path in (ROOT / "services").glob("*/__main__.py")):
        names = {path.name for path in folder.iterdir()}
        if folder.name == "gateway":
            expected = {
                "__main__.py",
                "server.py",
                "wiring.py",
                "errors.py",
                "api",
                "auth",
                "http",
                "pages",
                "realtime",
            }
        else:
            expected = {"__main__.py", "adapters.py", "app.py", "domain.py", "server.py"}
        assert expected <= names, folder


def test_no_module_imports_itself_by_way_of_others() -> None:
    packages = ("meshwright", "services", "meshwright_operator")
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    direct = {name: sorted(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    try:
        order = list(graphlib.TopologicalSorter(direct).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"an import cycle: {' <- '.join(error.args[1])}")
    assert len(order) > 500


def test_no_room_grows_too_large() -> None:
    large = {
        str(path.relative_to(ROOT)): count for path in sources() if (count := len(path.read_text().splitlines())) > 400
    }
    assert large == {}


def test_no_function_grows_too_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []


def test_no_path_of_a_machine_and_no_package_registry_is_named() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    registries = "|".join(["py" + "pi", "python" + "hosted", "deb" + "ian", "npm" + "js"])
    bad = re.compile(rf"/(?:root|work)/|https?://[a-z0-9./-]*(?:{registries})")
    offenders = []
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".png", ".jpg", ".svg"} or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if bad.search(line) and path != Path(__file__):
                offenders.append(f"{name}:{number}: {line.strip()[:100]}")
    assert offenders == []


def test_property_tests_have_no_wall_clock_deadline() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
    of_their_own = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != ROOT / "tests" / "conftest.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "settings"
        if any(keyword.arg == "deadline" for keyword in node.keywords)
    ]
    assert of_their_own == [], "the profile in tests/conftest.py has no deadline; a test sets none of its own"


def test_tests_import_nothing_private() -> None:
    """Ruff's SLF001 holds attributes; this holds what is imported."""
    offenders = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in imports(path)
        if any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]
    assert offenders == []
