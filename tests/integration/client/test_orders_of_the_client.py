"""Orders by the client: placed once, and followed to their end over a network that is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.client.network import network
from services.client import DemoClient, Order, ProblemError
from support.demo.gateway import storefront
from support.demo.people import PASSWORD, address

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_order_is_followed_step_by_step_over_a_cut(tmp_path: Path) -> None:
    async with storefront(tmp_path) as store, network(store.demo.address) as way, DemoClient(way.url) as client:
        await client.session.sign_up("Ada", address(), PASSWORD)
        order = await client.orders.place({"tea": 1}, key="once")
        assert (await client.orders.place({"tea": 1}, key="once")).id == order.id
        states: list[Order] = []
        async for state in client.orders.watch(order.id):
            states.append(state)
            if len(states) == 1:
                way.cut()
        versions = [state.version for state in states]
        assert versions == sorted(set(versions))
        assert states[-1].is_resting
        again = [state async for state in client.orders.watch(order.id, after=versions[-1])]
        assert again == [states[-1]]
        assert [each.id for each in await client.orders.recent()] == [order.id]


async def test_an_order_without_a_session_is_refused(tmp_path: Path) -> None:
    async with storefront(tmp_path) as store, network(store.demo.address) as way, DemoClient(way.url) as client:
        with pytest.raises(ProblemError) as caught:
            await client.orders.place({"tea": 1})
        assert caught.value.status == 401
        await client.session.sign_up("Ada", address(), PASSWORD)
        with pytest.raises(ProblemError) as caught:
            await anext(aiter(client.orders.watch("00000000-0000-7000-8000-000000000000")))
        assert caught.value.status == 404
