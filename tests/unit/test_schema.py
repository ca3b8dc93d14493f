"""Problems of documents are told in words, with their place."""

from __future__ import annotations

import pytest

from meshwright import schema
from meshwright.errors import ValidationError

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "kind"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "kind": {"enum": ["big", "small"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 5},
        "on": {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}},
        "every": {"type": "string", "pattern": "^[0-9]+s$", "description": "seconds such as 5s"},
        "either": {
            "type": "object",
            "oneOf": [{"required": ["x"]}, {"required": ["y"]}],
            "description": "one of x and y",
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "at": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"port": {"type": "integer"}}}]},
    },
}
GOOD = {"name": "n", "kind": "big"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": ""}, "name: must not be empty"),
        ({"name": 3}, "name: expected a string, not 3; put it in quotes"),
        ({"kind": "huge"}, 'kind: expected one of big, small, not "huge"'),
        ({"count": 0}, "count: must be at least 1, not 0"),
        ({"count": 9}, "count: must be at most 5, not 9"),
        ({"count": True}, "count: expected an integer, not true"),
        ({"on": ["a", "b", "c"]}, 'on[2]: expected one of a, b, not "c"'),
        ({"on": ["a", "a"]}, 'on: has an item twice: ["a", "a"]'),
        ({"every": "soon"}, 'every: expected seconds such as 5s, not "soon"'),
        ({"either": {}}, "either: expected one of x and y, not {}"),
        ({"labels": {"a b": 1}}, 'labels["a b"]: expected a string, not 1; put it in quotes'),
        ({"at": {"port": "x"}}, 'at.port: expected an integer, not "x"'),
        ({"cuont": 1}, "cuont: unknown key; did you mean count?"),
        ({"zzz": 1}, "zzz: unknown key; known here: name, kind, count, on, every, either, labels, at"),
    ],
)
def test_a_violation_names_the_place_and_what_was_expected(change: dict[str, object], expected: str) -> None:
    problems = list(schema.violations({**GOOD, **change}, SCHEMA))
    assert [str(problem) for problem in problems] == [expected]


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        schema.check({"count": 9, "bogus": 1}, SCHEMA, "thing.json")
    assert str(caught.value) == (
        "thing.json is not valid:\n"
        "  bogus: unknown key; known here: name, kind, count, on, every, either, labels, at\n"
        "  name: is required and missing\n"
        "  kind: is required and missing\n"
        "  count: must be at most 5, not 9"
    )


def test_a_document_of_another_type_is_refused_as_a_whole() -> None:
    assert [str(problem) for problem in schema.violations([1], SCHEMA)] == ["expected an object, not [1]"]


def test_a_long_value_is_shown_short() -> None:
    (problem,) = schema.violations({**GOOD, "kind": "x" * 500}, SCHEMA)
    assert len(problem.message) < 120


def test_a_good_document_passes() -> None:
    schema.check({**GOOD, "on": ["a"], "either": {"x": 1}, "at": "here"}, SCHEMA, "thing.json")
