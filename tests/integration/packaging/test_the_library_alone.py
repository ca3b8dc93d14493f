"""`pip install meshwright` into an empty environment: what it brings, what works, and what it says is missing."""

from __future__ import annotations

import asyncio
import signal
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.packaging import installed
from integration.packaging.installed import program
from meshwright.dev.traces import TracesConfig, TraceStore, serving
from support.mesh.mesh import mesh
from support.mesh.up import own_ports
from support.processes import ROOT, running
from support.waiting import eventually

if TYPE_CHECKING:
    from integration.packaging.installed import Environment
    from support.consul.servers import ConsulServer


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return installed.environment(tmp_path_factory.mktemp("alone"), [str(wheel)])


@pytest.fixture(scope="module")
def standard(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return installed.environment(tmp_path_factory.mktemp("standard"), [f"{wheel}[standard]"])


@pytest.fixture(scope="module")
def without_aiohttp(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What the command line imports, and neither clients nor servers of the extra."""
    others = ("click", "jsonschema", "psutil", "pyyaml", "rich")
    made = installed.environment(tmp_path_factory.mktemp("without"), [str(wheel), *others])
    for name in ("hello.py", "meshwright.toml"):
        (made.work / name).write_text(program(name))
    return made


def test_the_wheel_brings_one_package_and_names_nothing_of_the_demo(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = next(name for name in names if name.endswith("entry_points.txt"))
        scripts = ConfigParser()
        scripts.read_string(archive.read(points).decode())
    assert {name.partition("/")[0] for name in names} == {"meshwright", Path(points).parts[0]}
    targets = [target for section in scripts.sections() for target in scripts[section].values()]
    assert targets
    assert all(target.startswith("meshwright.") for target in targets)
    assert not any(name.endswith(".pyc") for name in names)


def test_what_a_service_needs_is_little(alone: Environment) -> None:
    found = alone.packages()
    brought = found - {"meshwright"}
    assert len(brought) <= 16, sorted(brought)
    unwanted = {"xds-protos", "opentelemetry-exporter-otlp-proto-http", "click", "jsonschema", "cryptography", "rich"}
    assert not (unwanted | {"aiohttp", "httpcore", "anyio"}) & found
    size = sum(path.stat().st_size for path in alone.folder.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 35_000_000, "compiled files included"


def test_verifying_tokens_adds_pyjwt_and_cryptography_only(
    wheel: Path, alone: Environment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    verifying = installed.environment(tmp_path_factory.mktemp("auth"), [f"{wheel}[auth]"])
    assert verifying.packages() - alone.packages() == {"PyJWT", "cryptography", "cffi", "pycparser"}
    done = verifying.run("python", "-c", "import meshwright.auth; print(meshwright.auth.JwtVerifier.__name__)")
    assert (done.stdout, done.stderr) == ("JwtVerifier\n", "")


@pytest.mark.parametrize("kind", ["alone", "standard"])
def test_what_is_installed_fits_together(kind: str, request: pytest.FixtureRequest) -> None:
    environment = request.getfixturevalue(kind)
    installed.pip("--python", environment.python, "check")


async def test_a_service_runs_is_called_by_name_and_exports_spans(
    alone: Environment, any_consul: ConsulServer, tmp_path: Path
) -> None:
    for name in ("hello.py", "call.py"):
        (alone.work / name).write_text(program(name))
    store = TraceStore(max_spans=1000, max_bytes=10_000_000)
    config = TracesConfig(host="127.0.0.1", query_port=0, otlp_grpc_port=0, otlp_http_port=0)
    async with serving(config, store) as bound, mesh(any_consul, tmp_path) as built:
        exporting = {
            "OTEL_SDK_DISABLED": "false",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{bound.otlp_grpc}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "PYTHONPATH": "",
        }
        service = await built.run([alone.python, str(alone.work / "hello.py")], "hello", exporting)
        await built.until(len, "hello", service)

        async def called() -> bool:
            client = await built.run([alone.python, str(alone.work / "call.py")], "call", exporting, pipes=True)
            assert client.child.stdout
            said = (await asyncio.wait_for(client.child.stdout.read(), 30)).decode()
            assert said.strip() == "value: 3", client.tail()
            return True

        await eventually(called, 30)
        await eventually(lambda: "hello" in store.services(), 20)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import meshwright.auth; meshwright.auth.JwtVerifier",
            "JwtVerifier needs the package jwt: pip install 'meshwright[auth]'",
        ),
        (
            "import meshwright.testing; meshwright.testing.Issuer",
            "Issuer needs the package jwt: pip install 'meshwright[auth]'",
        ),
        (
            "import meshwright.dev.consul",
            "the dev Consul needs the package aiohttp: pip install 'meshwright[standard]'",
        ),
        (
            "import meshwright.dev.traces",
            "the dev trace store needs the package aiohttp: pip install 'meshwright[standard]'",
        ),
        (
            "import meshwright.controlplane",
            "the control plane needs the package aiohttp: pip install 'meshwright[standard]'",
        ),
        (
            "import os; os.environ['OTEL_EXPORTER_OTLP_PROTOCOL'] = 'http/protobuf'\n"
            "import asyncio, meshwright\n"
            "async def main():\n"
            "    async with meshwright.Server(meshwright.ServiceConfig(service='x')): pass\n"
            "asyncio.run(main())",
            "exporting spans by http/protobuf needs the package opentelemetry: pip install 'meshwright[otlp-http]'",
        ),
    ],
)
def test_what_is_missing_is_said_with_what_to_install(alone: Environment, code: str, said: str) -> None:
    done = alone.run("python", "-c", code)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(said)


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("up",), "`meshwright up`"),
        (("registry", "--help"), "the dev Consul"),
        (("controlplane", "--help"), "the control plane"),
        (("xds", "--help"), "the control plane"),
    ],
)
def test_a_command_whose_server_cannot_run_says_what_to_install(
    without_aiohttp: Environment, command: tuple[str, ...], what: str
) -> None:
    done = without_aiohttp.run("meshwright", *command)
    needs = f"error: {what} needs the package aiohttp: pip install 'meshwright[standard]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", needs)


@pytest.mark.parametrize("program", ["meshwright", "kubectl-meshwright", "kubectl_complete-meshwright"])
def test_the_command_line_says_what_to_install(alone: Environment, program: str) -> None:
    done = alone.run(program, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("meshwright: the command line needs the package click: pip install 'meshwright[standard]'\n")


def test_the_command_line_of_the_standard_extra_names_its_commands(standard: Environment) -> None:
    done = standard.run("meshwright", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "controlplane" in done.stdout
    assert "tour" not in done.stdout, "that is the demo's"
    without_demo = standard.run("meshwright", "up", "--demo")
    assert without_demo.returncode == 2
    assert "the demo is not installed" in without_demo.stderr


async def test_up_runs_the_readmes_system_with_the_standard_extra(standard: Environment, tmp_path: Path) -> None:
    for name in ("hello.py", "call.py", "meshwright.toml"):
        (standard.work / name).write_text(program(name))
    home = {"MESHWRIGHT_HOME": str(tmp_path / "home"), "CONSUL_HTTP_ADDR": "", "PYTHONPATH": ""}
    command = [str(standard.folder / "bin" / "meshwright"), "up", *own_ports()]
    async with running(command, tmp_path / "up.log", home, cwd=standard.work) as process:

        def is_up() -> bool:
            assert process.running, process.tail()
            return "is up after" in process.tail(100)

        await eventually(is_up, 60)
        done = await asyncio.to_thread(standard.run, "meshwright", "call", "hello", "Add", '{"a": 1, "b": 2}', **home)
        assert done.returncode == 0, done.stderr
        assert '"value": 3' in done.stdout
        shown = await asyncio.to_thread(standard.run, "meshwright", "ps", **home)
        assert shown.stdout.count("hello-") >= 2
        assert await process.end(signal.SIGINT) in {0, 130}
