from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meshwright.cli import output, run
from meshwright.cli.get import routes

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"aiohttp", "grpc", "google", "opentelemetry", "rich", "jsonschema", "psutil"}


def test_the_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name in (
        "up",
        "ps",
        "logs",
        "kill",
        "scale",
        "call",
        "get",
        "fault",
        "xds",
        "registry",
        "controlplane",
        "traces",
    ):
        assert f"\n  {name} " in text
    assert "Exit codes: 0 done, 1 could not be done, 2 asked wrongly, 130 interrupted." in text


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from meshwright.cli import run; run(['--help']); "
        f"print(sorted(name for name in {sorted(HEAVY)!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["up"],
        ["ps"],
        ["logs"],
        ["kill"],
        ["scale"],
        ["call"],
        ["get"],
        ["fault", "set"],
        ["fault", "clear"],
        ["fault", "list"],
        ["xds", "dump"],
        ["xds", "watch"],
        ["registry"],
        ["controlplane"],
        ["traces"],
    ],
)
def test_every_command_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: meshwright {' '.join(arguments)} ")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["scale", "x", "many"], "'many' is not a valid integer"),
        (["call", "x"], "Missing argument 'METHOD'"),
        (["call", "x", "Y", "{"], "error: the request is not valid:\n  line 1, column 2: is not JSON: "),
        (["call", "x", "Y", "{}", "-H", "novalue"], "--header novalue: expected NAME=VALUE"),
        (["fault", "set", "x"], "error: the fault is not valid:\n  give --abort, --delay or both\n"),
        (["xds", "dump", "x", "--address", "nowhere"], "--address nowhere: expected host:port"),
        (
            ["registry", "--port", "x"],
            "registry is not valid:\n  port: expected an integer, not 'x'\n",
        ),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_exit_code_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == output.BAD_INPUT
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (7265, "2h01m")]
)
def test_lengths_of_time_are_short(seconds: float, text: str) -> None:
    assert output.span(seconds) == text


def test_routes_are_shown_as_a_tree() -> None:
    chain = {
        "StartNode": "router:cart",
        "Nodes": {
            "router:cart": {
                "Type": "router",
                "Routes": [
                    {
                        "Definition": {"Match": {"HTTP": {"PathPrefix": "/x"}}},
                        "NextNode": "splitter:cart",
                    },
                    {"NextNode": "resolver:v1.cart"},
                ],
            },
            "splitter:cart": {
                "Type": "splitter",
                "Splits": [
                    {"Weight": 90, "NextNode": "resolver:v1.cart"},
                    {"Weight": 10, "NextNode": "resolver:v2.cart"},
                ],
            },
            "resolver:v1.cart": {"Type": "resolver", "Resolver": {"Target": "v1.cart"}},
            "resolver:v2.cart": {
                "Type": "resolver",
                "Resolver": {"Target": "v2.cart", "Failover": {"Targets": ["v1.cart"]}},
            },
        },
    }
    assert routes(chain) == [
        'when {"PathPrefix": "/x"}',
        "  90 %",
        "    to v1.cart",
        "  10 %",
        "    to v2.cart, else v1.cart",
        'when "anything"',
        "  to v1.cart",
    ]


def _in_a_terminal(folder: Path, **environ: str) -> bytes:
    """What `up` of a file that cannot be read prints to a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as reader:
        subprocess.run(
            [sys.executable, "-m", "meshwright.cli", "up", "-f", "none.toml"],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", **environ},
            stdout=theirs,
            stderr=theirs,
            check=False,
        )
        os.close(theirs)
        return reader.read(4096)


def test_a_terminal_gets_colours_unless_it_says_no(tmp_path: Path) -> None:
    assert b"\x1b[" in _in_a_terminal(tmp_path, NO_COLOR="")
    assert b"\x1b[" not in _in_a_terminal(tmp_path, NO_COLOR="1")


def test_a_wrong_environment_is_one_paragraph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_SSL", "perhaps")
    assert run(["get", "x", "-t", ""]) == output.BAD_INPUT
    assert "CONSUL_HTTP_SSL: expected true or false, not 'perhaps'" in capsys.readouterr().err


def test_watching_without_its_package_says_what_to_install_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    monkeypatch.setenv("MESHWRIGHT_HOME", str(tmp_path / "home"))
    (tmp_path / "shop.toml").write_text('[processes.cart]\ncommand = ["sleep", "60"]\nready = "started"\n')
    assert run(["up", "--watch", "-f", str(tmp_path / "shop.toml")]) == output.BAD_INPUT
    said = capsys.readouterr()
    needs = "`meshwright up --watch` needs the package watchfiles: pip install 'meshwright[watch]'"
    assert (said.out, said.err) == ("", f"error: {needs}\n")
    assert not (tmp_path / "home").exists()
