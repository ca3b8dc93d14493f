"""The programs that README.md prints."""

from __future__ import annotations

import re
from pathlib import Path

_TEXT = (Path(__file__).resolve().parents[2] / "README.md").read_text()
_BLOCKS = re.findall(r"```(?:python|toml)\n(.*?)```", _TEXT, re.DOTALL)


def program(name: str) -> str:
    """The block that begins with that file's name."""
    (found,) = [block for block in _BLOCKS if block.startswith(f"# {name}\n")]
    return str(found)
