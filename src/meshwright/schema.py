"""Documents that people write, checked against a JSON schema: every problem at once, in words, with its place.

The `jsonschema` library finds what is wrong; this module says it in plain words: `retry.on[2]: expected one
of unavailable, internal, not "sometimes"`. A schema gives its authors two places to speak: `description` of a
string with a `pattern` or `format` completes the sentence "expected ...", and the keys under `properties` are
what an unknown key is compared with.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError as SchemaError

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def check(document: Any, schema: Mapping[str, Any], source: str) -> None:
    """Raise `ValidationError` naming `source` and every violation of `schema` in `document`, if there is one."""
    problems = list(violations(document, schema))
    if problems:
        raise ValidationError(source, problems)


def violations(document: Any, schema: Mapping[str, Any]) -> Iterator[Violation]:
    """Every violation, in the document's order."""
    found = Draft202012Validator(schema).iter_errors(document)
    for error in sorted(found, key=lambda error: [str(step) for step in error.absolute_path]):
        yield from _problems(error)


def place(path: Iterable[str | int]) -> str:
    """A path in a document in readable form: `retry.on[2]`, `services["a b"].env`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def _problems(error: SchemaError) -> Iterator[Violation]:
    rule = str(error.validator)
    if rule in ("anyOf", "oneOf") and error.context:
        error = _closest(error)
        rule = str(error.validator)
    if rule == "additionalProperties" and _limit(error) is False:
        yield from _unknown_keys(error)
    elif rule == "required":
        yield from _missing_keys(error)
    else:
        say = _SENTENCES.get(rule)
        yield Violation(place(error.absolute_path), say(error) if say else error.message)


def _limit(error: SchemaError) -> Any:
    """What the violated rule demands: the maximum, the choices, the required keys."""
    return error.validator_value


def _value(error: SchemaError) -> Any:
    return error.instance


def _rules(error: SchemaError) -> dict[str, Any]:
    """The part of the schema that was violated."""
    return error.schema if isinstance(error.schema, dict) else {}


def _closest(error: SchemaError) -> SchemaError:
    """The alternative that the author most likely meant: the one whose violation lies deepest, if there is one."""
    deepest = max(error.context or (), key=lambda inner: len(inner.absolute_path))
    return deepest if len(deepest.absolute_path) > len(error.absolute_path) else error


def _unknown_keys(error: SchemaError) -> Iterator[Violation]:
    known = list(_rules(error).get("properties", {}))
    patterns = list(_rules(error).get("patternProperties", {}))
    for key in _value(error):
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        near = difflib.get_close_matches(key, known, n=1)
        hint = (
            f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}" if known else "none is known here"
        )
        yield Violation(place([*error.absolute_path, key]), f"unknown key; {hint}")


def _missing_keys(error: SchemaError) -> Iterator[Violation]:
    # The library reports each missing key as an error of its own that lists all required ones.
    match = re.match(r"'(.*)' is a required property", error.message)
    missing = match.group(1) if match else ", ".join(_limit(error))
    yield Violation(place([*error.absolute_path, missing]), "is required and missing")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004


def _wrong_type(error: SchemaError) -> str:
    wanted = _limit(error)
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    said = f"expected {' or '.join(_TYPES.get(name, name) for name in names)}, not {_shown(error.instance)}"
    return f"{said}{_as_text(error)}" if names == ["string"] else said


def _as_text(error: SchemaError) -> str:
    """What to write in place of a number or a truth value, where a text is wanted."""
    if not isinstance(error.instance, bool | int | float):
        return ""
    pattern = _rules(error).get("pattern")
    if pattern and not re.search(pattern, _shown(error.instance)):
        return f"; it is {_rules(error).get('description', 'text')}"
    return "; put it in quotes"


def _wrong_choice(error: SchemaError) -> str:
    choices = ", ".join(str(choice) for choice in _limit(error))
    return f"expected one of {choices}, not {_shown(error.instance)}"


def _wrong_form(error: SchemaError) -> str:
    wanted = _rules(error).get("description") or f"a match of {_limit(error)}"
    return f"expected {wanted}, not {_shown(error.instance)}"


def _wrong_alternative(error: SchemaError) -> str:
    wanted = _rules(error).get("description") or "exactly one of the alternatives"
    return f"expected {wanted}, not {_shown(error.instance)}"


def _bound(words: str) -> Callable[[SchemaError], str]:
    def say(error: SchemaError) -> str:
        return f"must be {words} {_limit(error)}, not {_shown(error.instance)}"

    return say


def _count(words: str, noun: str) -> Callable[[SchemaError], str]:
    def say(error: SchemaError) -> str:
        if _limit(error) == 1 and words == "at least":
            return "must not be empty"
        return f"must have {words} {_limit(error)} {noun}, not {len(_value(error))}"

    return say


_SENTENCES: dict[str, Callable[[SchemaError], str]] = {
    "type": _wrong_type,
    "enum": _wrong_choice,
    "const": lambda error: f"expected {_shown(_limit(error))}, not {_shown(error.instance)}",
    "pattern": _wrong_form,
    "format": _wrong_form,
    "oneOf": _wrong_alternative,
    "anyOf": _wrong_alternative,
    "minimum": _bound("at least"),
    "maximum": _bound("at most"),
    "exclusiveMinimum": _bound("more than"),
    "exclusiveMaximum": _bound("less than"),
    "minLength": _count("at least", "characters"),
    "maxLength": _count("at most", "characters"),
    "minItems": _count("at least", "items"),
    "maxItems": _count("at most", "items"),
    "minProperties": _count("at least", "keys"),
    "maxProperties": _count("at most", "keys"),
    "uniqueItems": lambda error: f"has an item twice: {_shown(error.instance)}",
}
