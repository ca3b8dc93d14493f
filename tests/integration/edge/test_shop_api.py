"""Orders, the account and search over REST: what is somebody's, and keys of every form."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from services.kit.bus import BusConfig, open_bus
from support.nats import nats_server
from support.people import sign_up
from support.storefront import storefront
from support.views import Teller, replica
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path


@pytest.mark.parametrize("key", ["k", "with a space", "x" * 255])
async def test_an_order_is_placed_once_whatever_the_key_looks_like(tmp_path: Path, key: str):
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


async def test_users_of_a_tenant_do_not_crowd_others_out_of_a_search(tmp_path: Path):
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


async def _equal(coming: Awaitable[list[str]], expected: list[str]) -> bool:
    assert await coming == expected
    return True
