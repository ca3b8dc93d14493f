"""Filter expressions, as `?filter=` and a resolver's subsets carry them.

The language is go-bexpr: selectors (`Service.Meta.version`, `Service.Meta["x"]`, `Checks.Status`) compared with
values (`==`, `!=`, `in`, `not in`, `contains`, `is empty`, `matches` and their negations), joined by `and`, `or`,
`not` and parentheses. A selector is checked against the shape of the rows before anything runs, so that a typing
error is an error even where there are no rows. Over a list of objects a comparison holds if it holds for any
element, and its negation if it holds for none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshwright.dev import booleans
from meshwright.dev.consul.http_errors import refused

Predicate = Callable[[Any], bool]


@dataclass(frozen=True)
class ListOf:
    """A list of objects of one shape."""

    shape: Shape


Shape = Mapping[str, Any]
"""Field name -> "string", "int", "bool", "strings" (a list), "map" (of strings), a nested shape, or a ListOf."""

_ADDRESS: Shape = {"Address": "string", "Port": "int"}
_WEIGHTS: Shape = {"Passing": "int", "Warning": "int"}
_PROXY: Shape = {
    "DestinationServiceName": "string",
    "DestinationServiceID": "string",
    "LocalServiceAddress": "string",
    "LocalServicePort": "int",
}
SERVICE: Shape = {
    "ID": "string",
    "Service": "string",
    "Kind": "string",
    "Tags": "strings",
    "Address": "string",
    "TaggedAddresses": "addresses",
    "Meta": "map",
    "Port": "int",
    "Weights": _WEIGHTS,
    "EnableTagOverride": "bool",
    "Proxy": _PROXY,
    "Connect": {"Native": "bool"},
}
NODE: Shape = {
    "ID": "string",
    "Node": "string",
    "Address": "string",
    "Datacenter": "string",
    "TaggedAddresses": "map",
    "Meta": "map",
}
CHECK: Shape = {
    "Node": "string",
    "CheckID": "string",
    "Name": "string",
    "Status": "string",
    "Notes": "string",
    "Output": "string",
    "ServiceID": "string",
    "ServiceName": "string",
    "ServiceTags": "strings",
    "Type": "string",
}
SERVICE_NODE: Shape = {
    **{name: kind for name, kind in NODE.items() if name != "Meta"},
    "NodeMeta": "map",
    "ServiceKind": "string",
    "ServiceID": "string",
    "ServiceName": "string",
    "ServiceTags": "strings",
    "ServiceAddress": "string",
    "ServiceTaggedAddresses": "addresses",
    "ServiceWeights": _WEIGHTS,
    "ServiceMeta": "map",
    "ServicePort": "int",
    "ServiceEnableTagOverride": "bool",
    "ServiceProxy": _PROXY,
    "ServiceConnect": {"Native": "bool"},
}
AGENT_SERVICE: Shape = SERVICE
AGENT_CHECK: Shape = CHECK
HEALTH_SERVICE: Shape = {"Node": NODE, "Service": SERVICE, "Checks": ListOf(CHECK)}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"[^"]*"|`[^`]*`)
    | (?P<op>==|!=|\(|\)|\[|\])
    | (?P<word>[A-Za-z0-9_.:/\-]+)
    )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?$")
_SELECTOR = re.compile(r"[A-Za-z][A-Za-z0-9_/]*(\.[A-Za-z][A-Za-z0-9_/]*)*$")


def compile_filter(text: str, shape: Shape) -> Predicate:
    """The predicate that `text` says; a fault in Consul's words where it does not parse or names no such field."""
    if not text:
        return lambda _: True
    try:
        return _Parser(text, shape).parse()
    except ValueError as error:
        raise refused(f"Failed to create boolean expression evaluator: {error}") from None


class _CoercionError(Exception):
    """The value is not of the kind that the selector has."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ValueError(f"1:{position + 1} ({position}): no match found")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*found, _Token("end", "", len(text))]


class _Parser:
    """Recursive descent: or < and < not < comparison."""

    def __init__(self, text: str, shape: Shape) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._shape = shape

    def parse(self) -> Predicate:
        """The whole text as one expression."""
        predicate = self._or()
        if self._peek().kind != "end":
            raise self._unexpected()
        return predicate

    def _or(self) -> Predicate:
        left = self._and()
        if not self._word("or"):
            return left
        right = self._or()
        return lambda row: left(row) or right(row)

    def _and(self) -> Predicate:
        left = self._not()
        if not self._word("and"):
            return left
        right = self._and()
        return lambda row: left(row) and right(row)

    def _not(self) -> Predicate:
        if self._word("not"):
            inner = self._not()
            return lambda row: not inner(row)
        if self._op("("):
            inner = self._or()
            if not self._op(")"):
                raise self._unexpected()
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        start = self._next
        value = self._value()
        negated = self._word("not")
        if self._word("in"):
            return self._matcher("in", self._selector(), value, negated)
        self._next = start
        selector = self._selector()
        if self._word("is"):
            negated = self._word("not")
            if not self._word("empty"):
                raise self._unexpected()
            return self._matcher("empty", selector, "", negated)
        if self._op("=="):
            return self._matcher("==", selector, self._value(), negated=False)
        if self._op("!="):
            return self._matcher("==", selector, self._value(), negated=True)
        negated = self._word("not")
        for word, operator in (("contains", "in"), ("matches", "matches")):
            if self._word(word):
                return self._matcher(operator, selector, self._value(), negated)
        raise self._unexpected()

    def _value(self) -> str:
        token = self._peek()
        if token.kind == "string":
            self._next += 1
            return token.text[1:-1]
        if token.kind == "word" and (_NUMBER.match(token.text) or _SELECTOR.match(token.text)):
            self._next += 1
            return token.text
        raise self._unexpected()

    def _selector(self) -> tuple[str, ...]:
        token = self._peek()
        if token.kind != "word" or not _SELECTOR.match(token.text):
            raise self._unexpected()
        self._next += 1
        parts = token.text.split(".")
        while self._op("["):
            index = self._peek()
            if index.kind != "string":
                raise self._unexpected()
            self._next += 1
            parts.append(index.text[1:-1])
            if not self._op("]"):
                raise self._unexpected()
            following = self._peek()
            if following.kind == "word" and following.text.startswith("."):
                self._next += 1
                parts.extend(following.text[1:].split("."))
        return tuple(parts)

    def _matcher(self, operator: str, selector: tuple[str, ...], value: str, negated: bool) -> Predicate:
        kind = _kind_of(selector, self._shape)
        name = ".".join(selector)
        if operator not in _operators(kind):
            shown = {"==": "Equal", "in": "In", "empty": "Is Empty", "matches": "Matches"}[operator]
            if negated:
                shown = {"Is Empty": "Is Not Empty"}.get(shown, f"Not {shown}")
            raise ValueError(f'Invalid match operator "{shown}" for selector "{name}"')
        try:
            test = _test(operator, kind, value)
        except _CoercionError as error:
            raise ValueError(f'Failed to coerce value "{value}" for selector "{name}": {error}') from None
        # A key that a map does not have: Consul's language lets `matches` hold, whatever the pattern.
        absent = negated or operator == "matches"

        def holds(item: Any) -> bool:
            return absent if item is _MISSING else test(item) is not negated

        return lambda row: any(holds(item) for item in _walk(row, selector, self._shape))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "word" and token.text == word:
            self._next += 1
            return True
        return False

    def _op(self, operator: str) -> bool:
        token = self._peek()
        if token.kind == "op" and token.text == operator:
            self._next += 1
            return True
        return False

    def _unexpected(self) -> ValueError:
        at = self._peek().at
        return ValueError(f"1:{at + 1} ({at}): no match found")


_MISSING = object()


_ZERO = {"string": "", "int": 0, "bool": False}


def _walk(row: Any, selector: tuple[str, ...], shape: Any) -> list[Any]:
    """The values that a selector names: one, or as many as a list on the way has elements."""
    if not selector:
        return [row]
    if isinstance(shape, ListOf):
        return [found for item in row or () for found in _walk(item, selector, shape.shape)]
    part, rest = selector[0], selector[1:]
    row = row if isinstance(row, Mapping) else {}
    if shape in ("map", "addresses"):
        inner = "string" if shape == "map" else _ADDRESS
        return _walk(row[part], rest, inner) if part in row else [_MISSING]
    kind = shape[part]
    return _walk(row.get(part, _ZERO.get(kind) if isinstance(kind, str) else None), rest, kind)


def _kind_of(selector: tuple[str, ...], shape: Shape) -> Any:
    kind: Any = shape
    for number, part in enumerate(selector, start=1):
        if isinstance(kind, ListOf):
            kind = kind.shape
        if kind == "map":
            kind = "string"
        elif kind == "addresses":
            kind = _ADDRESS
        elif isinstance(kind, Mapping) and part in kind:
            kind = kind[part]
        else:
            raise ValueError(f'Selector "{".".join(selector[:number])}" is not valid')
    return kind


def _operators(kind: Any) -> tuple[str, ...]:
    if kind == "string":
        return ("==", "in", "matches")
    if kind in ("int", "bool"):
        return ("==",)
    if kind in ("strings", "map", "addresses"):
        return ("in", "empty")
    return ("empty",) if isinstance(kind, ListOf) else ()


def _test(operator: str, kind: Any, value: str) -> Predicate:
    if operator == "empty":
        return lambda found: not found
    if operator == "matches":
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f'Failed to compile regular expression "{value}": {error}') from None
        return lambda found: pattern.search(found) is not None
    if operator == "in":
        return lambda found: value in (found or ())
    if kind == "int":
        try:
            number = int(value)
        except ValueError:
            raise _CoercionError(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None
        return lambda found: found == number
    if kind == "bool":
        try:
            truth = booleans.parse(value)
        except ValueError as error:
            raise _CoercionError(str(error)) from None
        return lambda found: found is truth
    return lambda found: found == value
