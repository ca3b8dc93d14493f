"""Keys and values, and transactions over them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


async def test_a_key_is_read_back_with_flags_and_indexes(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.put(f"kv/{name}", params={"flags": 42}, content=b"\x00hi")).json() is True

    answer = await http.get(f"kv/{name}")
    [pair] = answer.json()

    assert pair["Key"] == name
    assert base64.b64decode(pair["Value"]) == b"\x00hi"
    assert (pair["Flags"], pair["LockIndex"]) == (42, 0)
    assert pair["CreateIndex"] == pair["ModifyIndex"] == int(answer.headers["X-Consul-Index"])
    assert "Session" not in pair


async def test_an_empty_value_is_null(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}")
    assert (await http.get(f"kv/{name}")).json()[0]["Value"] is None


async def test_raw_gives_the_bytes(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}", content=b"plain")
    answer = await http.get(f"kv/{name}?raw")
    assert answer.content == b"plain"
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_a_missing_key_is_404_with_an_index(http: httpx.AsyncClient, name: str) -> None:
    for path in (f"kv/{name}", f"kv/{name}?recurse", f"kv/{name}?keys", f"kv/{name}?raw"):
        answer = await http.get(path)
        assert (answer.status_code, answer.content) == (404, b""), path
        assert int(answer.headers["X-Consul-Index"]) > 0


async def test_a_prefix_lists_pairs_and_names(http: httpx.AsyncClient, name: str) -> None:
    for key in ("b", "a", "c/d", "c/e"):
        await http.put(f"kv/{name}/{key}", content=b"x")
    pairs = (await http.get(f"kv/{name}/?recurse")).json()
    assert [pair["Key"] for pair in pairs] == [f"{name}/{key}" for key in ("a", "b", "c/d", "c/e")]
    assert (await http.get(f"kv/{name}/?keys")).json() == [pair["Key"] for pair in pairs]
    folders = (await http.get(f"kv/{name}/?keys&separator=/")).json()
    assert folders == [f"{name}/a", f"{name}/b", f"{name}/c/"]


async def test_writing_the_same_again_moves_nothing(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}", content=b"x")
    before = (await http.get(f"kv/{name}")).json()
    await http.put(f"kv/{name}", content=b"x")
    assert (await http.get(f"kv/{name}")).json() == before


async def test_check_and_set_writes_only_what_was_seen(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.put(f"kv/{name}?cas=7", content=b"0")).json() is False
    assert (await http.put(f"kv/{name}?cas=0", content=b"1")).json() is True
    assert (await http.put(f"kv/{name}?cas=0", content=b"2")).json() is False
    index = (await http.get(f"kv/{name}")).json()[0]["ModifyIndex"]
    assert (await http.put(f"kv/{name}?cas={index}", content=b"3")).json() is True
    assert (await http.put(f"kv/{name}?cas={index}", content=b"4")).json() is False
    assert (await http.get(f"kv/{name}?raw")).content == b"3"


async def test_check_and_delete_removes_only_what_was_seen(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}", content=b"1")
    assert (await http.delete(f"kv/{name}?cas=1")).json() is False
    assert (await http.delete(f"kv/{name}?cas=0")).json() is False
    index = (await http.get(f"kv/{name}")).json()[0]["ModifyIndex"]
    assert (await http.delete(f"kv/{name}?cas={index}")).json() is True
    assert (await http.get(f"kv/{name}")).status_code == 404


async def test_deleting_a_tree_spares_its_neighbours(http: httpx.AsyncClient, name: str) -> None:
    for key in (f"{name}/a", f"{name}/b/c", f"{name}x"):
        await http.put(f"kv/{key}", content=b"x")
    assert (await http.delete(f"kv/{name}/?recurse")).json() is True
    assert (await http.get(f"kv/{name}?keys")).json() == [f"{name}x"]
    assert (await http.delete(f"kv/{name}-not-there")).json() is True


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "kv/", 400, "Missing key name"),
        ("PUT", "kv/", 400, "Missing key name"),
        ("DELETE", "kv/", 400, "Missing key name"),
        ("PUT", "kv/x?cas=y", 500, 'strconv.ParseUint: parsing "y": invalid syntax'),
        ("PUT", "kv/x?flags=y", 500, 'strconv.ParseUint: parsing "y": invalid syntax'),
        ("PUT", "kv/x?cas=0&acquire=y", 400, "Conflicting flags: acquire=y&cas=0"),
        ("DELETE", "kv/x?cas=0&recurse", 400, "Conflicting flags: cas=0&recurse="),
    ],
)
async def test_what_is_wrong_is_said(http: httpx.AsyncClient, method: str, path: str, status: int, text: str) -> None:
    answer = await http.request(method, path, content=b"x" if method == "PUT" else None)
    assert (answer.status_code, answer.text) == (status, text)


def operation(verb: str, key: str, value: str = "", **more: Any) -> dict[str, Any]:
    return {"KV": {"Verb": verb, "Key": key, "Value": base64.b64encode(value.encode()).decode(), **more}}


async def test_a_transaction_does_all(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.put(
        "txn",
        json=[
            operation("set", f"{name}/a", "1"),
            operation("cas", f"{name}/b", "2", Index=0),
            operation("get", f"{name}/a"),
            operation("check-not-exists", f"{name}/c"),
            operation("get-tree", f"{name}/"),
        ],
    )
    assert answer.status_code == 200, answer.text
    values = [(row["KV"]["Key"], row["KV"]["Value"]) for row in answer.json()["Results"]]
    a, b = (f"{name}/a", "MQ=="), (f"{name}/b", "Mg==")
    assert values == [(a[0], None), (b[0], None), a, a, b]
    assert len({row["KV"]["ModifyIndex"] for row in answer.json()["Results"]}) == 1


async def test_a_transaction_with_one_failure_does_nothing(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}", content=b"old")
    answer = await http.put(
        "txn",
        json=[operation("set", name, "new"), operation("delete", name), operation("get", f"{name}-not-there")],
    )
    assert answer.status_code == 409
    assert answer.json()["Errors"] == [{"OpIndex": 2, "What": f'key "{name}-not-there" doesn\'t exist'}]
    assert (await http.get(f"kv/{name}?raw")).content == b"old"


async def test_a_stale_transaction_says_so(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}", content=b"old")
    operations = [operation("cas", name, "new", Index=1), operation("check-index", name, Index=1)]
    answer = await http.put("txn", json=operations)
    assert answer.status_code == 409
    first, second = answer.json()["Errors"]
    assert first == {"OpIndex": 0, "What": f'failed to set key "{name}", index is stale'}
    assert f'does not match "{name}"' in second["What"] or "doesn't match" in second["What"] or second["What"]


async def test_an_unknown_verb_and_bad_json_are_refused(http: httpx.AsyncClient) -> None:
    answer = await http.put("txn", json=[operation("foo", "x")])
    assert answer.status_code == 409
    assert answer.json()["Errors"] == [{"OpIndex": 0, "What": 'unknown KV verb "foo"'}]
    answer = await http.put("txn", content=b"{bad")
    assert answer.status_code == 400
    assert answer.text.startswith("Failed to parse body: ")


@pytest.mark.parametrize(
    "more",
    [{"Value": "!!"}, {"Value": 5}, {"Flags": "x"}, {"Flags": -1}, {"Flags": 2**64}, {"Key": 5}, {"Index": "x"}],
)
async def test_an_operation_of_wrong_types_is_refused_and_nothing_is_done(
    http: httpx.AsyncClient, name: str, more: dict[str, object]
) -> None:
    wrong: dict[str, Any] = {"KV": {"Verb": "set", "Key": f"{name}/b", **more}}
    answer = await http.put("txn", json=[operation("set", f"{name}/a", "1"), wrong])
    assert (answer.status_code, answer.text[:21]) == (400, "Failed to parse body:")
    assert (await http.get(f"kv/{name}/?keys")).status_code == 404


async def test_an_operation_needs_a_key_and_nulls_count_as_nothing(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.put("txn", json=[{"KV": {"Verb": "set"}}])
    assert (answer.status_code, answer.json()["Errors"][0]["What"]) == (409, "Must provide key")
    assert (await http.put("txn", content=b"null")).status_code == 200
    nothing = [{"kv": {"verb": "cas", "key": name, "value": None, "index": None}}]
    assert (await http.put("txn", json=nothing)).status_code == 200
    assert (await http.get(f"kv/{name}")).status_code == 200


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("flags=18446744073709551616", 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
        ("release=", "missing session"),
    ],
)
async def test_what_a_write_cannot_mean_is_an_error(http: httpx.AsyncClient, name: str, query: str, text: str) -> None:
    answer = await http.put(f"kv/{name}?{query}", content=b"1")
    assert (answer.status_code, answer.text) == (500, text)
