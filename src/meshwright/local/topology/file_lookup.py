"""The topology file that `up` runs: the given one, `meshwright.toml` of the current folder, or the demo's.

`up` without arguments runs the system of the current folder, as `make`, `docker compose up` and `pytest` do. The demo
is started explicitly, so that a forgotten file is an error and not a shop of eight processes.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from meshwright.errors import MeshwrightError

DEFAULT = Path("meshwright.toml")
DEMO = Path("services/demo.toml")
"""The demo's topology in a checkout; with the installed package `services`, beside it."""
EXAMPLE = """\
[processes.hello]
module = "hello"          # runs `python -m hello` in this folder; or: command = ["./hello", "--port", "${port}"]
replicas = 2
"""
"""A minimal topology file."""


class NoTopologyError(MeshwrightError):
    """There is no topology file to run. The message explains how to get one."""


def choose(file: Path | None, *, demo: bool) -> Path:
    """The topology's path. Raises `NoTopologyError` without one."""
    if file is not None:
        return file
    if demo:
        return _demo()
    if DEFAULT.exists():
        return DEFAULT
    raise NoTopologyError(_how_to_get_one())


def _demo() -> Path:
    if DEMO.exists():
        return DEMO
    spec = find_spec(DEMO.parent.name)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / DEMO.name).exists():
            return Path(place) / DEMO.name
    raise NoTopologyError(
        f"the demo is not installed: there is no {DEMO} in {Path.cwd()}, nor a package `services` with a {DEMO.name}. "
        "Run it in a checkout of Meshwright, where `make up` sets it up."
    )


def _how_to_get_one() -> str:
    example = "".join(f"    {line}\n" for line in EXAMPLE.splitlines())
    return (
        f"there is no {DEFAULT} in {Path.cwd()}, so there is nothing to run. Either\n"
        f"  - write one: it lists the processes of your system, such as\n\n{example}\n"
        "  - name a topology that lies elsewhere: `meshwright up -f FILE`\n"
        "  - or run the demo: `meshwright up --demo`"
    )
