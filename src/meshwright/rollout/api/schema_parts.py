"""Builders for `meshwright.rollout.api.schema`: OpenAPI fragments and CEL rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Schema = dict[str, Any]

DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
VERSION = r"^[A-Za-z0-9]([A-Za-z0-9.+_-]*[A-Za-z0-9])?$"
VERSION_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.+_-]*[A-Za-z0-9*])?$|^[*]$"
LABEL = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
HEADER = r"^[a-z0-9_.-]+$"
DATE = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
ADDRESS = r"^https?://[^\s/]+(/\S*)?$"


def obj(
    description: str,
    properties: Schema,
    required: Sequence[str] = (),
    *,
    rules: Sequence[Schema] = (),
    is_open: bool = False,
    **more: Any,
) -> Schema:
    """An object; with `is_open`, unknown keys are preserved."""
    found: Schema = {"type": "object", "description": description, "properties": properties}
    found |= {"required": list(required)} if required else {}
    found |= {"x-kubernetes-preserve-unknown-fields": True} if is_open else {}
    return found | more | ({"x-kubernetes-validations": list(rules)} if rules else {})


def text(description: str, limit: int, pattern: str = "", **more: Any) -> Schema:
    """A string of 1 to `limit` characters; `more` adds keys of JSON schema."""
    found: Schema = {"type": "string", "description": description, "minLength": 1, "maxLength": limit}
    return found | ({"pattern": pattern} if pattern else {}) | more


def whole(description: str, least: int, most: int, **more: Any) -> Schema:
    """An integer from `least` to `most`."""
    return {"type": "integer", "description": description, "minimum": least, "maximum": most, **more}


def flag(description: str, **more: Any) -> Schema:
    """A boolean."""
    return {"type": "boolean", "description": description, **more}


def span(description: str, **more: Any) -> Schema:
    """A duration, written as Go does."""
    return text(f"a duration such as 500ms, 30s, 5m or 1h30m: {description}", 32, DURATION, **more)


def many(description: str, items: Schema, most: int, **more: Any) -> Schema:
    """A list of at most `most` items."""
    return {"type": "array", "description": description, "items": items, "maxItems": most, **more}


def rule(cel: str, message: str) -> Schema:
    """A CEL rule and the message of its violation."""
    return {"rule": cel, "message": message}


def one_of(*names: str) -> Schema:
    """The rule that exactly one of the names is set."""
    cel = f"[{', '.join(f'has(self.{name})' for name in names)}].exists_one(given, given)"
    return rule(cel, f"exactly one of {', '.join(names)} must be set")


def strict(schema: Schema) -> Schema:
    """The same schema with unknown keys forbidden wherever keys are listed and others are not welcome."""
    found: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: strict(child) for name, child in value.items()}
        elif key == "items":
            found[key] = strict(value)
        else:
            found[key] = value
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    return found
