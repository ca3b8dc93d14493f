"""The chart's schema and README are as scripts/make_chart.py makes them, and every value is described."""

from __future__ import annotations

import json
import runpy
from typing import Any

import pytest
import yaml

from support.kubernetes.chart import CHART
from support.processes import ROOT

MAKE = runpy.run_path(str(ROOT / "scripts/make_chart.py"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
VALUES = (CHART / "values.yaml").read_text("utf-8")


@pytest.mark.parametrize(("file", "render"), [("values.schema.json", "schema"), ("README.md", "readme")])
def test_what_is_generated_is_up_to_date(file: str, render: str) -> None:
    assert (CHART / file).read_text("utf-8") == MAKE[render](), "run scripts/make_chart.py"


def test_every_value_has_a_comment_and_is_in_the_readme() -> None:
    notes = MAKE["comments"](VALUES)
    readme = (CHART / "README.md").read_text("utf-8")
    values = yaml.safe_load(VALUES)
    del values["components"]
    for path, _ in MAKE["leaves"](values, notes, ""):
        assert notes.get(path), f"{path} of values.yaml has no comment"
        assert f"| `{path}` |" in readme


def test_every_key_of_a_component_has_a_comment() -> None:
    notes = MAKE["of_components"](MAKE["comments"](VALUES))
    for name, each in SCHEMA["definitions"]["component"]["properties"].items():
        assert name in notes, f"components.*.{name} has no comment in values.yaml"
        assert "$ref" in each or each["description"] == notes[name]


def test_every_value_has_a_type() -> None:
    def missing(values: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
        properties = schema.get("properties", {})
        found = [f"{path}{name}" for name in values if name not in properties]
        for name, each in values.items():
            if isinstance(each, dict) and "properties" in properties.get(name, {}):
                found += missing(each, properties[name], f"{path}{name}.")
        return found

    assert missing(yaml.safe_load(VALUES), SCHEMA, "") == []


def test_no_object_of_the_schema_takes_keys_that_it_does_not_know() -> None:
    def opened(schema: Any, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        own = [path] if "properties" in schema and schema.get("type") == "object" else []
        found = [each for each in own if schema.get("additionalProperties") is not False]
        for name, each in schema.get("properties", {}).items():
            found += opened(each, f"{path}/{name}")
        return found

    assert opened(SCHEMA, "") == []
    for name, each in SCHEMA["definitions"].items():
        assert opened(each, name) == []


def test_the_schema_knows_the_variables_that_the_code_reads() -> None:
    known = SCHEMA["definitions"]["variable"]["anyOf"][1]["enum"]
    assert {"MESHWRIGHT_XDS", "MESHWRIGHT_OPERATOR_NAMESPACES", "MESHWRIGHT_TRACES_HOST", "GATEWAY_RATE"} <= set(known)
    assert not [each for each in known if not each.startswith(MAKE["OURS"])]
