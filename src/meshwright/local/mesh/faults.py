"""Sets and clears faults in a service's policy document; the rest of the document stays unchanged.

The document may have other writers, so each change is read, edit, check-and-set, repeated after a conflict. The new
document is validated by the control plane's own parser before it is written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.policy import KV_PREFIX, parse_policy
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.model import ServiceName, folded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshwright.consul import Consul, KvPair

Document = dict[str, Any]
_ATTEMPTS = 20


def fault(
    abort: str | None, delay: str | None, percent: float | None, headers: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """A fault of the policy document. `abort`: a status's name or number; `delay`: such as `200ms`."""
    share = {} if percent is None else {"percentage": percent}
    made: dict[str, Any] = {}
    if headers:
        made["headers"] = [{"name": name, "exact": value} for name, value in headers]
    if abort is not None:
        made["abort"] = {"status": int(abort) if abort.isdigit() else abort.upper().replace("-", "_"), **share}
    if delay is not None:
        made["delay"] = {"duration": delay, **share}
    if abort is None and delay is None:
        raise ValidationError("the fault", [Violation("", "give --abort, --delay or both")])
    return made


def with_fault(document: Document, new: dict[str, Any]) -> Document:
    """The document with that fault, which replaces one for the same calls.

    The first match applies, so a fault for calls with a header is placed before one for all calls.
    """
    others = [old for old in document.get("faults", []) if old.get("headers") != new.get("headers")]
    return {**document, "faults": [new, *others] if new.get("headers") else [*others, new]}


def without_faults(document: Document) -> Document:
    """The document without any fault."""
    return {key: value for key, value in document.items() if key != "faults"}


async def edit(consul: Consul, service: str, change: Callable[[Document], Document]) -> Document:
    """Changes a service's document; returns the new one. An empty document is deleted."""
    for _ in range(_ATTEMPTS):
        key, pair = await _find(consul, service)
        old = _parse(key, pair.value) if pair else {}
        new = change(old)
        if new == old:
            return new
        content = json.dumps(new, indent=2).encode()
        parse_policy(ServiceName(service), content)
        index = pair.modify_index if pair else 0
        if await (consul.kv_put(key, content, cas=index) if new else consul.kv_delete(key, cas=index)):
            return new
    raise MeshwrightError(f"{key} changes faster than it can be written; nothing was done")


async def documents(consul: Consul) -> dict[str, Document]:
    """Every service's document."""
    pairs = (await consul.kv_list(KV_PREFIX)).value
    return {pair.key.removeprefix(KV_PREFIX): _parse(pair.key, pair.value) for pair in pairs}


async def document(consul: Consul, service: str) -> Document | None:
    """One service's document."""
    _, pair = await _find(consul, service)
    return _parse(pair.key, pair.value) if pair else None


async def _find(consul: Consul, service: str) -> tuple[str, KvPair | None]:
    """The document in force for a service, and its key, whose case may differ from the service's name.

    As in the control plane, the lower-case key has precedence. It is read by itself, so that a token for one key is
    enough.
    """
    key = f"{KV_PREFIX}{folded(service)}"
    if pair := (await consul.kv_get(key)).value:
        return key, pair
    pairs = (await consul.kv_list(KV_PREFIX)).value
    others = (pair for pair in pairs if folded(pair.key.removeprefix(KV_PREFIX)) == folded(service))
    pair = min(others, key=lambda pair: pair.key, default=None)
    return (pair.key, pair) if pair else (key, None)


async def text(consul: Consul, service: str) -> str | None:
    """The text of one service's document, valid or not."""
    _, pair = await _find(consul, service)
    return pair.value.decode(errors="replace") if pair else None


def _parse(key: str, content: bytes) -> Document:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValidationError(
            f"the document {key}", [Violation("", f"is not JSON: {error}; mend or delete it")]
        ) from error
    if not isinstance(found, dict):
        raise ValidationError(f"the document {key}", [Violation("", "is not an object; mend or delete it")])
    return found
