"""Sessions and the locks that they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.waiting import eventually

if TYPE_CHECKING:
    import httpx

UNKNOWN = "11111111-1111-1111-1111-111111111111"


async def session(http: httpx.AsyncClient, **form: Any) -> str:
    answer = await http.put("session/create", json={"LockDelay": "0s", **form})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["ID"]
    return found


async def test_a_session_is_read_back(http: httpx.AsyncClient, name: str) -> None:
    made = await session(http, Name=name, TTL="90s", Behavior="delete", LockDelay="1s")

    [row] = (await http.get(f"session/info/{made}")).json()

    node = (await http.get("agent/self")).json()["Config"]["NodeName"]
    index = row["CreateIndex"]
    assert row == {
        "ID": made,
        "Name": name,
        "Node": node,
        "LockDelay": 1_000_000_000,
        "Behavior": "delete",
        "TTL": "90s",
        "NodeChecks": ["serfHealth"],
        "ServiceChecks": None,
        "CreateIndex": index,
        "ModifyIndex": index,
    }
    assert made in [item["ID"] for item in (await http.get("session/list")).json()]
    assert made in [item["ID"] for item in (await http.get(f"session/node/{node}")).json()]


async def test_a_session_needs_no_body(http: httpx.AsyncClient) -> None:
    made = (await http.put("session/create")).json()["ID"]
    [row] = (await http.get(f"session/info/{made}")).json()
    assert (row["LockDelay"], row["Behavior"], row["TTL"]) == (15_000_000_000, "release", "")


async def test_one_session_holds_a_key_at_a_time(http: httpx.AsyncClient, name: str) -> None:
    first, second = await session(http), await session(http)
    assert (await http.put(f"kv/{name}?acquire={first}", content=b"1")).json() is True
    assert (await http.put(f"kv/{name}?acquire={second}", content=b"2")).json() is False
    assert (await http.put(f"kv/{name}?acquire={first}", content=b"3")).json() is True

    [pair] = (await http.get(f"kv/{name}")).json()
    assert (pair["Session"], pair["LockIndex"], pair["Value"]) == (first, 1, "Mw==")

    assert (await http.put(f"kv/{name}?release={second}", content=b"4")).json() is False
    assert (await http.put(f"kv/{name}?release={first}", content=b"5")).json() is True
    assert (await http.put(f"kv/{name}?acquire={second}", content=b"6")).json() is True
    [pair] = (await http.get(f"kv/{name}")).json()
    assert (pair["Session"], pair["LockIndex"]) == (second, 2)


async def test_a_lock_is_advisory(http: httpx.AsyncClient, name: str) -> None:
    holder = await session(http)
    await http.put(f"kv/{name}?acquire={holder}", content=b"1")
    assert (await http.put(f"kv/{name}", content=b"2")).json() is True
    assert (await http.get(f"kv/{name}")).json()[0]["Session"] == holder


async def test_a_destroyed_session_releases_its_keys(http: httpx.AsyncClient, name: str) -> None:
    holder, other = await session(http), await session(http)
    await http.put(f"kv/{name}?acquire={holder}", content=b"1")

    assert (await http.put(f"session/destroy/{holder}")).json() is True

    [pair] = (await http.get(f"kv/{name}")).json()
    assert "Session" not in pair
    assert (await http.get(f"session/info/{holder}")).json() == []
    assert (await http.put(f"kv/{name}?acquire={other}", content=b"2")).json() is True
    assert (await http.put(f"session/destroy/{holder}")).json() is True


async def test_a_session_may_delete_what_it_held(http: httpx.AsyncClient, name: str) -> None:
    holder = await session(http, Behavior="delete")
    await http.put(f"kv/{name}?acquire={holder}", content=b"1")
    await http.put(f"session/destroy/{holder}")
    assert (await http.get(f"kv/{name}")).status_code == 404


async def test_a_lock_delay_keeps_others_away_for_a_while(http: httpx.AsyncClient, name: str) -> None:
    holder, other = await session(http, LockDelay="1s"), await session(http)
    await http.put(f"kv/{name}?acquire={holder}", content=b"1")
    await http.put(f"session/destroy/{holder}")

    async def acquired() -> bool:
        return bool((await http.put(f"kv/{name}?acquire={other}", content=b"2")).json())

    assert await acquired() is False
    await eventually(acquired, 5)


async def test_a_session_ends_when_its_check_fails(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/check/register", json={"Name": name, "TTL": "1h", "Status": "passing"})
    node = (await http.get("agent/self")).json()["Config"]["NodeName"]

    async def known() -> bool:
        return name in [row["CheckID"] for row in (await http.get(f"health/node/{node}")).json()]

    await eventually(known)
    made = await session(http, Checks=["serfHealth", name])

    await http.put(f"agent/check/fail/{name}")

    async def gone() -> bool:
        return (await http.get(f"session/info/{made}")).json() == []

    await eventually(gone)
    await http.put(f"agent/check/deregister/{name}")


async def test_renewing_gives_the_session_back(http: httpx.AsyncClient) -> None:
    made = await session(http, TTL="10s")
    assert [row["ID"] for row in (await http.put(f"session/renew/{made}")).json()] == [made]
    answer = await http.put(f"session/renew/{UNKNOWN}")
    assert (answer.status_code, answer.text) == (404, f"Session id '{UNKNOWN}' not found")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"TTL": "1s"}, "Invalid Session TTL '1000000000', must be between [10s=24h0m0s]"),
        ({"TTL": "x"}, "Session TTL 'x' invalid: time: invalid duration \"x\""),
        ({"Behavior": "x"}, "Invalid Behavior setting 'x'"),
        ({"Checks": ["not-there"]}, "Missing check 'not-there' registration"),
        ({"Node": "not-there"}, "Missing node registration"),
    ],
)
async def test_what_is_wrong_with_a_session_is_said(
    http: httpx.AsyncClient, form: dict[str, object], text: str
) -> None:
    answer = await http.put("session/create", json=form)
    assert (answer.status_code, answer.text) == (500, text)


async def test_what_is_no_session_id_is_refused(http: httpx.AsyncClient, name: str) -> None:
    text = "failed session lookup: index error: UUID must be 36 characters"
    for answer in (
        await http.get("session/info/nope"),
        await http.put("session/renew/nope"),
        await http.put(f"kv/{name}?acquire=nope", content=b"x"),
    ):
        assert (answer.status_code, answer.text) == (500, text)
    assert (await http.put(f"kv/{name}?release=nope", content=b"x")).json() is False
    assert (await http.get(f"session/info/{UNKNOWN}")).json() == []
    assert (await http.put("session/destroy/")).text == "Missing session"


async def test_what_is_no_session_cannot_be_destroyed(http: httpx.AsyncClient) -> None:
    answer = await http.put("session/destroy/x")
    assert (answer.status_code, answer.text) == (500, "failed session lookup: index error: UUID must be 36 characters")


@pytest.mark.parametrize("verb", ["destroy", "renew"])
async def test_sessions_of_another_datacenter_are_out_of_reach(http: httpx.AsyncClient, verb: str) -> None:
    answer = await http.put(f"session/{verb}/{'0' * 8}-{'0' * 4}-{'0' * 4}-{'0' * 4}-{'0' * 12}?dc=elsewhere")
    assert (answer.status_code, answer.text) == (500, "No path to datacenter")
