"""Begins the plugin with the libraries of its archive. Arguments: the name that it is called by, and its own."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here / "lib"), str(here / "native" / "cp{}{}".format(*sys.version_info[:2]))]

from meshwright.cli import kubectl_complete_main, kubectl_main  # noqa: E402 - found by the line above

called = Path(sys.argv.pop(1)).name
(kubectl_complete_main if called.startswith("kubectl_complete") else kubectl_main)()
