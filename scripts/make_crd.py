"""Render the CustomResourceDefinition from the schema in the code: python scripts/make_crd.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from meshwright.rollout.api.crd import definition

TARGET = Path(__file__).resolve().parents[1] / "helm/meshwright/crds/versionedrollouts.yaml"
HEAD = "# Rendered by scripts/make_crd.py from src/meshwright/rollout/api/schema.py: change it there.\n"


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: every part is written out."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True


def render() -> str:
    """The file's text."""
    return HEAD + yaml.dump(definition(), Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


def main() -> None:
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(render())
    print(TARGET)


if __name__ == "__main__":
    main()
