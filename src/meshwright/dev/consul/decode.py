"""Reading request bodies as Consul's two decoders read them.

The agent and catalog endpoints use Go's JSON decoder: keys match whatever their case, a few have a snake_case
alias, an unknown key and a wrong type are errors. Config entries go through a second, weak decoder: every key has
a snake_case alias, numbers and strings turn into each other, a lone value stands for a list of one, and unknown
keys are reported all at once with their paths. One description of a document, a `Struct`, serves both, and writes
the document back the way Go does (declared order, empty optional fields left out).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev import booleans
from meshwright.dev.consul.http_errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Field:
    """One field: its Go name, its kind, and whether JSON leaves it out when it is empty.

    `kind` is "string", "int", "uint", "index" (64 bits), "float", "bool", "duration", "any", a `Struct`, or one of
    these in a `Many` (list) or `Named` (map).
    """

    name: str
    kind: Any = "string"
    omit: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Struct:
    """An object with declared fields."""

    fields: tuple[Field, ...]
    by_key: Mapping[str, Field] = field(init=False)
    by_any_key: Mapping[str, Field] = field(init=False)
    """With the snake_case aliases that the weak decoder knows for every field."""

    def __post_init__(self) -> None:
        keys = {item.name.lower(): item for item in self.fields}
        for item in self.fields:
            keys.update(dict.fromkeys(item.aliases, item))
        object.__setattr__(self, "by_key", keys)
        object.__setattr__(self, "by_any_key", {**{snake(item.name): item for item in self.fields}, **keys})


@dataclass(frozen=True)
class Many:
    """A list."""

    item: Any


@dataclass(frozen=True)
class Named:
    """A map from strings."""

    item: Any


def snake(name: str) -> str:
    """`PathExact` -> `path_exact`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def parse_json(body: bytes) -> Any:
    """The body as a JSON value; raises ValueError with Go's wording."""
    text = body.decode("utf-8", "replace")
    if not text.strip():
        raise ValueError("EOF")
    try:
        value, end = _JSON.raw_decode(text.lstrip())
    except json.JSONDecodeError as error:
        raise ValueError(_syntax(text.lstrip(), error)) from None
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    del end  # what follows the first value is ignored, as by Go's decoder
    return _whole(value) if "\\u" in text else value


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity; JSON has no such thing."""
    raise ValueError(f"invalid character '{name.lstrip('-')[0]}' looking for beginning of value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"json: cannot unmarshal number {text} into Go value of type float64")
    return value


_JSON = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def _whole(value: Any) -> Any:
    """Half of a surrogate pair becomes U+FFFD, as in Go: it could not be written in UTF-8 again."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {_whole(key): _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    where = "looking for beginning of value"
    if error.msg.startswith(("Expecting property name", "Illegal trailing comma")):
        where = "looking for beginning of object key string"
    elif error.msg.startswith("Expecting ':'"):
        where = "after object key"
    elif error.msg.startswith("Expecting ','"):
        where = "after object key:value pair" if text.lstrip().startswith("{") else "after array element"
    return f"invalid character '{text[error.pos]}' {where}"


_GO_TYPES = {
    "string": "string",
    "int": "int",
    "uint": "uint32",
    "index": "uint64",
    "float": "float32",
    "bool": "bool",
}
_RANGES = {"int": range(-(2**63), 2**63), "index": range(2**64)}


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "uint": (int,),
    "index": (int,),
    "bool": (bool,),
    "float": (int, float),
}


def strict(value: Any, shape: Struct, path: str = "") -> dict[str, Any]:
    """Decode as Go's JSON decoder would; raises ValueError with its wording."""
    if not isinstance(value, dict):
        raise ValueError(f"json: cannot unmarshal {_json_kind(value)} into Go value of type struct")
    found: dict[str, Any] = {}
    for key, item in value.items():
        known = shape.by_key.get(key.lower())
        if known is None:
            why = " - Namespaces are a Consul Enterprise feature" if key.lower() == "namespace" else ""
            raise ValueError(f'json: unknown field "{key}"{why}')
        if item is not None:
            found[known.name] = _strict(item, known.kind, f"{path}.{known.name}")
    return found


def _strict(value: Any, kind: Any, path: str) -> Any:
    if isinstance(kind, Struct):
        return strict(value, kind, path)
    if isinstance(kind, Many) and isinstance(value, list):
        empty = _ZERO[kind.item] if isinstance(kind.item, str) else None
        return [_strict(empty if item is None else item, kind.item, path) for item in value]
    if isinstance(kind, Named) and isinstance(value, dict):
        return {key: _strict(item, kind.item, path) for key, item in value.items()}
    if kind == "any":
        return value
    if kind == "duration":
        return _duration(value)
    accepted = _JSON_TYPES.get(kind, ()) if isinstance(kind, str) else ()
    fits = isinstance(value, accepted) and (kind == "bool" or not isinstance(value, bool))
    if not fits or (isinstance(value, int) and kind in _RANGES and value not in _RANGES[kind]):
        goes = _GO_TYPES.get(kind, "[]string" if isinstance(kind, Many) else "map[string]string")
        raise ValueError(f"json: cannot unmarshal {_json_kind(value)} into Go struct field {path} of type {goes}")
    return value


def _duration(value: Any) -> int:
    if isinstance(value, str):
        return durations.parse(value) if value else 0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value)
    raise ValueError(f"json: cannot unmarshal {_json_kind(value)} into Go value of type time.Duration")


def _json_kind(value: Any) -> str:
    kinds = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def weak(value: Any, shape: Struct) -> dict[str, Any]:
    """Decode as Consul decodes config entries; raises a 400 fault that lists what is wrong."""
    if not isinstance(value, dict):
        kind = {list: "slice", str: "string", bool: "bool"}.get(type(value), "float64")
        raise bad_request(f"Bad request: Request decoding failed: '' expected a map, got '{kind}'")
    unknown: list[str] = []
    wrong: list[str] = []
    decoded = _weak_struct(value, shape, "", unknown, wrong)
    if wrong:
        lines = "\n".join(f"* {line}" for line in sorted(wrong))
        raise bad_request(f"Bad request: Request decoding failed: {len(wrong)} error(s) decoding:\n\n{lines}")
    if unknown:
        noun = "error" if len(unknown) == 1 else "errors"
        lines = "\n".join(f'\t* invalid config key "{path}"' for path in unknown)
        raise bad_request(f"Bad request: Request decoding failed: {len(unknown)} {noun} occurred:\n{lines}\n\n")
    return decoded


def _weak_struct(
    value: Mapping[str, Any], shape: Struct, path: str, unknown: list[str], wrong: list[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    extra: list[str] = []
    for key, item in value.items():
        known = shape.by_any_key.get(key.lower())
        if known is None:
            extra.append(f"{path}{key}")
        elif item is not None:
            found[known.name] = _weak(item, known.kind, f"{path}{known.name}", unknown, wrong)
    unknown.extend(sorted(extra))
    return found


def _weak(value: Any, kind: Any, path: str, unknown: list[str], wrong: list[str]) -> Any:
    if isinstance(kind, Struct):
        return _weak_block(value, kind, path, unknown, wrong)
    if isinstance(kind, Many):
        items: Sequence[Any] = value if isinstance(value, list) else [value]
        return [_weak(item, kind.item, f"{path}[{at}]", unknown, wrong) for at, item in enumerate(items)]
    if isinstance(kind, Named):
        if not isinstance(value, dict):
            wrong.append(f"'{path}' expected a map, got '{_go_kind(value)}'")
            return {}
        return {key: _weak(item, kind.item, f"{path}[{key}]", unknown, wrong) for key, item in value.items()}
    return value if kind == "any" else _weak_scalar(value, kind, path, wrong)


def _weak_block(value: Any, kind: Struct, path: str, unknown: list[str], wrong: list[str]) -> Any:
    if isinstance(value, list) and len(value) == 1:  # HCL wraps a block in a list
        value = value[0]
    if not isinstance(value, dict):
        wrong.append(f"'{path}' expected a map, got '{_go_kind(value)}'")
        return {}
    return _weak_struct(value, kind, f"{path}.", unknown, wrong)


def _weak_scalar(value: Any, kind: str, path: str, wrong: list[str]) -> Any:
    if isinstance(value, (dict, list)):
        goes = {"int": "int", "uint": "uint32", "float": "float32", "duration": "time.Duration"}.get(kind, kind)
        wrong.append(f"'{path}' expected type '{goes}', got unconvertible type '{_go_type(value)}'")
        return None
    try:
        return _SCALARS[kind](value)
    except ValueError as error:
        if kind == "duration":
            wrong.append(f"error decoding '{path}': {error}")
        else:
            wrong.append(f"cannot parse '{path}' as {kind}: {error}")
        return None


def _weak_string(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _weak_bool(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value) and booleans.parse(value)
    return bool(value)


def _weak_int(value: Any) -> int:
    return int(value or 0) if isinstance(value, str) else int(value)


_SCALARS: dict[str, Any] = {
    "string": _weak_string,
    "bool": _weak_bool,
    "int": _weak_int,
    "uint": lambda value: _weak_int(value) % 2**32,
    "float": lambda value: float(value or 0) if isinstance(value, str) else float(value),
    "duration": lambda value: (durations.parse(value) if value else 0) if isinstance(value, str) else int(value),
}


def _go_kind(value: Any) -> str:
    return {str: "string", bool: "bool", list: "slice", dict: "map"}.get(type(value), "float64")


def _go_type(value: Any) -> str:
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


_ZERO: dict[str, Any] = {"string": "", "int": 0, "uint": 0, "float": 0, "bool": False, "duration": 0, "any": None}


def encode(value: Mapping[str, Any], shape: Struct) -> dict[str, Any]:
    """The document as Go's encoder writes it."""
    written: dict[str, Any] = {}
    for item in shape.fields:
        found = value.get(item.name)
        if item.omit and not found and not (isinstance(item.kind, Struct) and found is not None):
            continue
        written[item.name] = _encode(found, item.kind)
    return written


def _encode(value: Any, kind: Any) -> Any:
    if isinstance(kind, Struct):
        return encode(value or {}, kind)
    if isinstance(kind, Many):
        return None if value is None else [_encode(item, kind.item) for item in value]
    if isinstance(kind, Named):
        return None if value is None else {key: _encode(value[key], kind.item) for key in sorted(value)}
    if value is None:
        return _ZERO[kind]
    return _encode_scalar(value, kind)


def _encode_scalar(value: Any, kind: str) -> Any:
    if kind == "duration":
        return durations.show(value)
    if kind == "float" and float(value).is_integer():
        return int(value)
    return value
