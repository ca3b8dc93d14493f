"""The documents of a YAML file, read as kubectl reads them.

Two things are unlike PyYAML's own reading: a key that is there twice is an error, and a date is the text that it looks
like, since Kubernetes knows no dates.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import yaml

from meshwright.errors import ValidationError, Violation
from meshwright.rollout.api.vocabulary import KIND

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [(tag, pattern) for tag, pattern in found if tag != _TIMESTAMP]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"the key {name} is here twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def documents(file: Path) -> list[dict[str, Any]]:
    """What is in the file; `-` is standard input. Raises `ValidationError` that says where it is no YAML."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        found = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except OSError as error:
        raise ValidationError(str(file), [Violation("", error.strerror or str(error))]) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ValidationError(str(file), [_problem(error)]) from error
    if not found or not all(isinstance(document, dict) for document in found):
        raise ValidationError(str(file), [Violation("", f"expected a {KIND}")])
    return found


def _problem(error: Exception) -> Violation:
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return Violation("", f"is not YAML: {error}")
    what = error.problem or "is not YAML"
    if "'\\t'" in what:
        what = "is indented by a tab; YAML takes spaces alone"
    while_reading = f" ({error.context})" if error.context else ""
    return Violation(f"line {mark.line + 1}, column {mark.column + 1}", f"{what}{while_reading}")
