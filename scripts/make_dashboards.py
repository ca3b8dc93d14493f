"""Writes helm/meshwright/dashboards/*.json from `scripts/dashboards`: python scripts/make_dashboards.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.dashboards import mesh, rollout, service

FOLDER = Path(__file__).resolve().parents[1] / "helm/meshwright/dashboards"
DASHBOARDS = {"mesh": mesh.DASHBOARD, "service": service.DASHBOARD, "rollout": rollout.DASHBOARD}


def text(name: str) -> str:
    """The file of that dashboard."""
    return json.dumps(DASHBOARDS[name].render(name), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(text(each), "utf-8")
        sys.stdout.write(f"{FOLDER / each}.json\n")
