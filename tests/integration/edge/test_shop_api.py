"""Orders, the account and search over REST: what belongs to a user, and keys of every form."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from services.common.messaging.bus import BusConfig, open_bus
from support.demo.gateway import storefront
from support.demo.people import sign_up
from support.demo.views import Teller, replica
from support.servers.nats import nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    import httpx


@pytest.mark.parametrize("key", ["k", "with a space", "x" * 255])
async def test_an_order_is_placed_once_whatever_the_key_looks_like(tmp_path: Path, key: str) -> None:
    async with storefront(tmp_path) as store:
        http, ada = store.demo.http, await sign_up(store.demo)
        headers = ada.headers | {"Idempotency-Key": key}
        deposit = await http.post("/api/v3/account/deposits", json={"amount_cents": 5000}, headers=headers)
        assert (deposit.status_code, deposit.json()["balance_cents"]) == (201, 5000)
        headers["Idempotency-Key"] = f"o{key[1:]}"
        body = {"items": [{"sku": "tea", "quantity": 1}]}
        placed = [await http.post("/api/v3/orders", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in placed] == [201, 201], placed[0].text
        assert len((await http.get("/api/v3/orders", headers=ada.headers)).json()) == 1


async def test_users_of_a_tenant_do_not_crowd_others_out_of_a_search(tmp_path: Path) -> None:
    async with (
        nats_server(tmp_path / "nats") as nats,
        open_bus(BusConfig((nats.url,)), "test") as bus,
        replica(nats, f"sqlite:///{tmp_path}/views.db") as side,
        storefront(tmp_path, views=side.channel) as store,
    ):
        teller, tenancy = Teller(bus), store.demo.edge.tenancy
        ids = [str(uuid.UUID(int=number)) for number in range(1, 31)]
        for user_id in ids:
            await teller.created(user_id, "Grace Hopper")
        for user_id in ids[:25]:
            await tenancy.add(user_id, "acme")

        async def found(limit: int) -> list[str]:
            answer = await store.demo.http.get(f"/api/v3/search?q=hopper&limit={limit}")
            assert answer.status_code == 200, answer.text
            return sorted(user["id"] for user in answer.json())

        await eventually(lambda: _equal(found(20), ids[25:]))
        assert len(await found(3)) == 3


async def test_a_client_reads_its_own_writes_by_the_position_that_the_answer_to_them_has(tmp_path: Path) -> None:
    async with (
        nats_server(tmp_path / "nats") as nats,
        open_bus(BusConfig((nats.url,)), "test") as bus,
        replica(nats, f"sqlite:///{tmp_path}/views.db") as side,
        storefront(tmp_path, views=side.channel) as store,
    ):
        http, ada, teller = store.demo.http, await sign_up(store.demo), Teller(bus)
        renamed = await http.patch(f"/api/v3/users/{ada.subject}", json={"name": "Ada King"}, headers=ada.headers)
        written = renamed.headers["Demo-Position"]
        source, _, number = written.partition("/")
        assert (source, int(number) > 1) == ("user", True)
        assert "Demo-Position" not in (await http.get(f"/api/v3/users/{ada.subject}", headers=ada.headers)).headers

        def view(position: str, seconds: str) -> Awaitable[httpx.Response]:
            headers = ada.headers | {"Demo-Position": position, "X-Request-Timeout": seconds}
            return http.get(f"/api/v3/views/{ada.subject}", headers=headers)

        behind = await view(written, "2")
        assert (behind.status_code, behind.json()["reason"]) == (409, "VIEW_BEHIND")
        # One line for each write is a list as well.
        lines = [("Demo-Position", "user/0"), ("Demo-Position", written), ("X-Request-Timeout", "2")]
        assert (await http.get("/api/v3/search?q=king", headers=lines)).status_code == 409
        reading = asyncio.ensure_future(view(f"payment/0 , {written}", "30"))
        teller.sequences["user"] = int(number) - 2
        await teller.created(ada.subject, "Ada King")
        seen = await reading
        assert (seen.status_code, seen.json()["name"]) == (200, "Ada King")
        found = await http.get("/api/v3/search?q=king", headers={"Demo-Position": written})
        assert [user["id"] for user in found.json()] == [ada.subject]
        for wrong, status in (("nonsense", 422), ("user/-1", 422), (f"user/{10**18}", 422), ("moon/1", 400)):
            assert (await view(wrong, "5")).status_code == status, wrong


async def test_an_answer_that_is_given_again_has_the_position_of_the_first(tmp_path: Path) -> None:
    async with storefront(tmp_path) as store:
        http, ada = store.demo.http, await sign_up(store.demo)
        headers = ada.headers | {"Idempotency-Key": "once"}
        paid = [
            await http.post("/api/v3/account/deposits", json={"amount_cents": 1}, headers=headers) for _ in range(2)
        ]
        first, again = (answer.headers["Demo-Position"] for answer in paid)
        assert first == again
        assert first.startswith("payment/")
        assert "Idempotency-Replayed" in paid[1].headers
        body = {"items": [{"sku": "tea", "quantity": 1}]}
        placed = await http.post("/api/v3/orders", json=body, headers=ada.headers)
        assert placed.headers["Demo-Position"].startswith("order/")


async def _equal(coming: Awaitable[list[str]], expected: list[str]) -> bool:
    assert await coming == expected
    return True
