"""Environments in which nothing is installed but what a user asks pip for, and the programs that README.md prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the folder that its commands run in."""

    folder: Path
    work: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end. stdout and stderr are kept apart."""
        env = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.work), **environ}
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=self.work,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def packages(self) -> set[str]:
        """The names of all distributions in it."""
        code = "from importlib.metadata import distributions as d; print(*{one.metadata['Name'] for one in d()})"
        return set(self.run("python", "-c", code).stdout.split())


def pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wheel(folder: Path, into: Path) -> Path:
    """The wheel of the distribution whose pyproject.toml is in `folder`."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", into, folder)
    (made,) = into.glob("*.whl")
    return made


def environment(folder: Path, requirements: Sequence[str]) -> Environment:
    """An environment with these requirements, in the versions that the project has seen working."""
    made = Environment(folder / "venv", folder / "work")
    made.work.mkdir()
    venv.create(made.folder, symlinks=True, with_pip=False)
    pip("--python", made.python, "install", "--constraint", ROOT / "constraints.txt", *requirements)
    # Contracts are a team's own: those that README's programs speak are generated code beside them.
    for name in ("__init__.py", "calculator"):
        source = ROOT / "src" / "demo" / name
        target = made.work / "demo" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    return made


_TEXT = (ROOT / "README.md").read_text()
_BLOCKS = re.findall(r"```(?:python|toml)\n(.*?)```", _TEXT, re.DOTALL)


def program(name: str) -> str:
    """The block that begins with that file's name."""
    (found,) = [block for block in _BLOCKS if block.startswith(f"# {name}\n")]
    return str(found)
