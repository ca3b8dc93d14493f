"""Print what the distributions in these folders need, one requirement a line: `requirements.py FOLDER...`.

With their build systems' requirements and the library's extra `standard`, without what they need of each other.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(folders: list[str]) -> None:
    found: set[str] = set()
    for folder in folders:
        document = tomllib.loads((Path(folder) / "pyproject.toml").read_text())
        extras = document["project"].get("optional-dependencies", {})
        found.update(document["build-system"]["requires"], document["project"]["dependencies"])
        for name in ("auth", "otlp-http", "standard"):
            found.update(extras.get(name, ()))
    print("\n".join(sorted(one for one in found if not one.startswith("meshwright"))))


if __name__ == "__main__":
    main(sys.argv[1:])
