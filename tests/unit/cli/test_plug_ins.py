from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from meshwright.cli import PLUG_INS, cli, output, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Install = Callable[[str], None]

GOOD = """
import click

@click.command()
@click.option("--name", default="you")
def greet(name):
    \"\"\"Say hello.\"\"\"
    click.echo(f"hello {name}")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs the distribution `greetings`, whose command `greet` is in a module with that text."""

    def write(text: str) -> None:
        module = f"greetings_{tmp_path.name}"
        (tmp_path / f"{module}.py").write_text(text)
        about = tmp_path / "greetings-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{PLUG_INS}]\ngreet = {module}:greet\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


def test_a_command_of_another_package_is_one_of_ours(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(GOOD)
    assert run(["greet", "--name", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"
    assert run(["--help"]) == 0
    assert "  greet  " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        ("raise RuntimeError('two\\nlines')\n", "two lines"),
        ("raise RuntimeError\n", "RuntimeError"),
        ("x = 1\n", "has no attribute 'greet'"),
        ("def greet() -> None: ...\n", "is no click command"),
        ("def greet(:\n", "invalid syntax"),
    ],
)
@pytest.mark.parametrize("arguments", [["greet"], ["greet", "--name", "Ada", "more"], ["greet", "--help"]])
def test_one_that_cannot_be_loaded_says_why_in_one_line(
    install: Install, capsys: pytest.CaptureFixture[str], text: str, reason: str, arguments: list[str]
) -> None:
    install(text)
    assert run(arguments) == output.BAD_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("error: the command greet of greetings cannot be loaded: ")
    assert reason in line


def test_the_help_still_lists_it_and_all_others(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("import nothing_of_this_name\n")
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert "  greet " in text
    assert "Cannot be loaded: No module named 'nothing_of_this_name'" in text
    assert "\n  up " in text


def test_a_missing_package_of_an_extra_says_what_to_install(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("from meshwright.optional_imports import load\nload('nothing_of_this_name', 'the greeting', 'greet')\n")
    assert run(["greet"]) == output.BAD_INPUT
    needs = "the greeting needs the package nothing_of_this_name: pip install 'meshwright[greet]'"
    assert capsys.readouterr().err == f"error: the command greet of greetings cannot be loaded: {needs}\n"


def test_no_other_package_takes_the_name_of_a_command_of_ours(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(GOOD)
    (tmp_path / "greetings-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{PLUG_INS}]\nup = greetings_{tmp_path.name}:greet\n"
    )
    assert run(["up", "--help"]) == 0
    assert "Run a topology" in capsys.readouterr().out
    assert [name for name in cli.list_commands(click.Context(cli)) if name == "up"] == ["up"]
