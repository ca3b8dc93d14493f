"""`python -m bench [name ...]`: runs the measurements, prints each, and puts it into docs/reference/benchmarks.md."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path

ALL = ("rpc", "deregistration", "control_plane", "startup", "notifications", "realtime", "userview")


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from bench.report import publish  # noqa: PLC0415 - after the path

    names = sys.argv[1:] or ALL
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        sys.exit(f"no measurement is called {', '.join(unknown)}; there are {', '.join(ALL)}")
    for name in names:
        section = asyncio.run(importlib.import_module(f"bench.{name}").measure())
        print(section.markdown(), end="\n\n", flush=True)
        publish(section)


if __name__ == "__main__":
    main()
