"""The examples of docs/how-to/synchronous-code.md, run as they stand there, against a server in this process."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.runtime.calculator import Everything, in_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.testing import Served

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "synchronous-code.md"
TRACE = "0af7651916cd43dd8448eb211c80319c"

DRIVER = """
import importlib, json, sys
from meshwright.model import Address
from meshwright.testing import resolving

with resolving({"calculator": [Address.parse(sys.argv[1])]}):
    module = importlib.import_module(sys.argv[2])
if len(sys.argv) > 3:
    from werkzeug.test import Client

    client = Client(getattr(module, sys.argv[3]))
    headers = {"traceparent": sys.argv[4], "Authorization": "Bearer visitor"}
    answers = []
    for path in ("/sum/1/2", "/nowhere", "/metrics"):
        with client.get(path, headers=headers) as answer:
            answers.append([answer.status_code, answer.get_data(as_text=True)])
    print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def seen() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def served(seen: list[dict[str, Any]]) -> Iterator[Served]:
    class Noting(Everything):
        async def Add(self, request, context):
            seen.append({"left": context.time_remaining(), **dict(context.invocation_metadata())})
            return await super().Add(request, context)

    with in_a_thread(Noting()) as calculator:
        yield calculator


def example(folder: Path, name: str) -> Path:
    """The block of the page that begins with the comment `# <name>`, as a file that can be imported."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    assert importlib.util.find_spec(name.removesuffix(".py")) is None, (
        f"{name} would be hidden by a module of that name"
    )
    path = folder / name
    path.write_text(block)
    return path


def run(path: Path, *arguments: str) -> str:
    environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(path.parent)}
    environ.pop("MESHWRIGHT_SERVICE", None)
    command = [sys.executable, "-W", "error", "-c", DRIVER, arguments[0], path.stem, *arguments[1:]]
    done = subprocess.run(
        command, env=environ, cwd=path.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_script(served: Served, tmp_path: Path) -> None:
    found = run(example(tmp_path, "report.py"), str(served.address))
    assert found.splitlines() == ["3.0", "[2, 3, 5, 7]", "7.0"]


@pytest.mark.parametrize(
    "which",
    [("shop.py", "app", "/sum/<int:a>/<int:b>"), ("storefront.py", "application", "sum/<int:a>/<int:b>")],
    ids=["flask", "django"],
)
def test_the_web_application(
    served: Served, seen: list[dict[str, Any]], tmp_path: Path, which: tuple[str, str, str]
) -> None:
    name, application, route = which
    path = example(tmp_path, name)
    framework = "django" if "django" in path.read_text() else "flask"
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    seen.clear()
    header = f"00-{TRACE}-b7ad6b7169203331-01"
    (total, nowhere, metrics) = json.loads(run(path, str(served.address), application, header))
    assert (total[0], json.loads(total[1])) == (200, {"value": 3.0})
    assert nowhere[0] == 404
    (call,) = seen
    assert 0 < call["left"] <= 5.0
    assert call["authorization"] == "Bearer visitor"
    assert call["traceparent"].split("-")[1] == TRACE
    assert metrics[0] == 200
    assert re.search(rf'http_requests_total{{.*route="{re.escape(route)}".*status="200".*}} 1.0', metrics[1])
    assert re.search(r'http_requests_total{.*route="unknown".*status="404".*} 1.0', metrics[1])
    assert re.search(r'grpc_requests_total{.*service="calculator",side="client",status="OK".*} 1.0', metrics[1])
