"""`/v1/txn`: several operations on keys, all of them or none."""

from __future__ import annotations

import base64
import binascii
import copy
from typing import TYPE_CHECKING, Any

from meshwright.dev.consul.api.routes_kv import pair_json
from meshwright.dev.consul.decode import Field, Struct, parse_json, strict
from meshwright.dev.consul.http_errors import HttpError, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.dev.consul.kv import KeyValues, Pair

MAX_OPERATIONS = 64

_KV = Struct(
    (
        Field("Verb"),
        Field("Key"),
        Field("Value"),
        Field("Flags", "index"),
        Field("Index", "index"),
        Field("Session"),
        Field("LockIndex", "index"),
    )
)


class _RefusedError(Exception):
    """One operation cannot be done."""


def transact(kv: KeyValues, body: bytes, now: float) -> tuple[int, dict[str, Any]]:
    """Status and answer. The first failure of any operation undoes all."""
    operations = _operations(body)
    before = copy.copy(kv.pairs), copy.copy(kv.graves)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    with kv.store.held() as touched:
        for number, operation in enumerate(operations):
            try:
                results.extend({"KV": row} for row in _apply(kv, operation, now))
            except (_RefusedError, HttpError) as error:
                errors.append({"OpIndex": number, "What": str(error)})
        if errors:
            kv.pairs, kv.graves = before
            touched.clear()
    if errors:
        return 409, {"Results": None, "Errors": errors}
    return 200, {"Results": results or None, "Errors": None}


def _operations(body: bytes) -> list[Mapping[str, Any]]:
    try:
        value = parse_json(body)
        items = [] if value is None else value
        if not isinstance(items, list):
            raise ValueError("json: cannot unmarshal into Go value of type structs.TxnOps")
        if len(items) > MAX_OPERATIONS:
            raise HttpError(413, f"Transaction contains too many operations ({len(items)} > {MAX_OPERATIONS})")
        return [_operation(item) for item in items if item != {}]
    except ValueError as error:
        raise bad_request(f"Failed to parse body: {error}") from None


def _operation(item: Any) -> Mapping[str, Any]:
    """One operation on a key with its value as bytes; ValueError where it is none."""
    found = {key.lower(): part for key, part in item.items()}.get("kv") if isinstance(item, dict) else None
    if not isinstance(found, dict):
        raise ValueError("only operations on keys are known here")
    operation = strict({key: part for key, part in found.items() if key.lower() in _KV.by_key}, _KV)
    value: str = operation.get("Value", "")
    try:
        return {**operation, "Value": base64.b64decode(value, validate=True)}
    except (binascii.Error, ValueError):
        raise ValueError("illegal base64 data at input byte 0") from None


def _apply(kv: KeyValues, operation: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    verb, key = operation.get("Verb", ""), operation.get("Key", "")
    if not key and verb not in ("get-tree", "delete-tree"):
        raise _RefusedError("Must provide key")
    if verb in ("get", "get-tree", "check-index", "check-session", "check-not-exists"):
        return _read(kv, verb, key, operation)
    if verb in ("delete", "delete-tree", "delete-cas"):
        return _remove(kv, verb, key, operation)
    return _write(kv, verb, key, operation, now)


def _read(kv: KeyValues, verb: str, key: str, operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = kv.pairs.get(key)
    if verb == "get-tree":
        return [pair_json(pair) for pair in kv.under(key)]
    if verb == "check-not-exists":
        if found is not None:
            raise _RefusedError(f'key "{key}" exists')
        return []
    if found is None:
        raise _RefusedError(f'key "{key}" doesn\'t exist')
    if verb == "get":
        return [pair_json(found)]
    if verb == "check-index" and found.modify_index != operation.get("Index", 0):
        wanted = operation.get("Index", 0)
        raise _RefusedError(f'current modify index {found.modify_index} does not match "{key}"\'s index {wanted}')
    if verb == "check-session" and found.session != operation.get("Session", ""):
        wanted = operation.get("Session", "")
        raise _RefusedError(f'failed session check for key "{key}", current session "{found.session}" != "{wanted}"')
    return [pair_json(found, value=False)]


def _remove(kv: KeyValues, verb: str, key: str, operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    if verb == "delete-tree":
        kv.delete_tree(key)
    elif verb == "delete":
        kv.delete(key)
    elif not kv.delete_if(key, operation.get("Index", 0)):
        raise _RefusedError(f'failed to delete key "{key}", index is stale')
    return []


def _write(kv: KeyValues, verb: str, key: str, operation: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    value, flags, session = operation["Value"], operation.get("Flags", 0), operation.get("Session", "")
    if verb == "set":
        kv.put(key, value, flags)
    elif verb == "cas":
        if not kv.put_if(key, value, flags, operation.get("Index", 0)):
            raise _RefusedError(f'failed to set key "{key}", index is stale')
    elif verb == "lock":
        if not kv.acquire(key, value, flags, session, now):
            raise _RefusedError(f'failed to lock key "{key}", lock is already held')
    elif verb == "unlock":
        if not kv.release(key, value, flags, session):
            raise _RefusedError(f'failed to unlock key "{key}", lock isn\'t held, or is held by another session')
    else:
        raise _RefusedError(f'unknown KV verb "{verb}"')
    written: Pair = kv.pairs[key]
    return [pair_json(written, value=False)]
