"""Orders, stock, the account and search over REST, in the current version. Personal resources need a token."""

from __future__ import annotations

import hashlib
import re
import uuid
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

import meshwright
from demo.userview.v1.userview_pb2 import Position
from services.gateway.api.orders.client import ShopClient
from services.gateway.api.orders.request_models import Deposit, NewOrder  # noqa: TC001 - FastAPI reads the annotations
from services.gateway.api.orders.response_models import Balance, Booking, Item, Order, OrderEvent, Stock, UserView
from services.gateway.api.parameters import MAX_PAGE, Dependencies, UserId, Users, Within, backends_of, dependencies_of
from services.gateway.auth.callers import require_identity
from services.gateway.errors import ApiError
from services.gateway.http.middleware.consistency import at_least
from services.gateway.http.openapi import problems

BASE = "/api/v3"
_SHORT = re.compile(r"[!-~]{1,100}")
"""A key that services accept."""
MAX_FOUND = 100


def _shop(request: Request) -> ShopClient:
    shop = dependencies_of(request).shop
    if shop is None:
        raise ApiError("UNIMPLEMENTED", "this gateway has no shop behind it", reason="NO_SHOP")
    return shop


def _me() -> str:
    return require_identity().subject


def _key(
    me: Annotated[str, Depends(_me)],
    key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="requests with the same key take effect once", max_length=255),
    ] = None,
) -> str:
    """The key for the services: the client's, prefixed with its subject, or a random one. A key that services do not
    accept is replaced by its digest."""
    own = f"{me}/{key or uuid.uuid4()}"
    return own if _SHORT.fullmatch(own) else hashlib.sha256(own.encode()).hexdigest()


def _may_read(request: Request) -> None:
    dependencies_of(request).callers.check("GET", 3)


TheShop = Annotated[ShopClient, Depends(_shop)]
Me = Annotated[str, Depends(_me)]
Key = Annotated[str, Depends(_key)]
AtLeast = Annotated[list[Position], Depends(at_least)]
OrderId = Annotated[str, Path(description="the id of an order")]
Most = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many at most")]

router = APIRouter(prefix=BASE)


@router.post("/orders", status_code=HTTPStatus.CREATED, tags=["orders"], responses=problems(400, 401, 409, 422, 503))
async def place_order(*, body: NewOrder, me: Me, key: Key, response: Response, shop: TheShop, within: Within) -> Order:
    """Places an order. The order is stored; its saga continues. `Location`: the order's state."""
    items = [Item(item.sku, item.quantity) for item in body.items]
    order = await shop.place(me, key, items, within)
    response.headers["Location"] = f"{BASE}/orders/{order.id}"
    return order


@router.get("/orders", tags=["orders"], responses=problems(400, 401, 422, 503))
async def list_orders(me: Me, shop: TheShop, within: Within, limit: Most = 50, before: str = "") -> list[Order]:
    """The caller's orders, newest first."""
    return await shop.orders(me, limit, before, within)


@router.get("/orders/{order_id}", tags=["orders"], responses=problems(401, 404, 503))
async def get_order(order_id: OrderId, me: Me, shop: TheShop, response: Response, within: Within) -> Order:
    """An order of the caller, with the steps of its saga."""
    order = await shop.order(me, order_id, within)
    response.headers["ETag"] = f'"{order.version}"'
    return order


@router.get("/orders/{order_id}/history", tags=["orders"], responses=problems(401, 404, 503))
async def order_history(order_id: OrderId, me: Me, shop: TheShop, within: Within) -> list[OrderEvent]:
    """The events of an order of the caller."""
    return await shop.history(me, order_id, within)


@router.get("/stock", tags=["stock"], responses=problems(503), dependencies=[Depends(_may_read)])
async def list_stock(shop: TheShop, within: Within) -> list[Stock]:
    """The items in stock."""
    return await shop.stock(within)


@router.get("/stock/{sku}", tags=["stock"], responses=problems(404, 503), dependencies=[Depends(_may_read)])
async def get_stock(sku: str, shop: TheShop, within: Within) -> Stock:
    """The stock of an item."""
    return await shop.one_stock(sku, within)


@router.get("/account", tags=["account"], responses=problems(401, 503))
async def get_account(me: Me, shop: TheShop, within: Within) -> Balance:
    """The caller's balance; 0 without an account."""
    try:
        return await shop.balance(me, within)
    except ApiError as failure:
        if failure.code == "NOT_FOUND":
            return Balance(me, 0)
        raise


@router.post("/account/deposits", tags=["account"], status_code=201, responses=problems(400, 401, 409, 422, 503))
async def deposit(body: Deposit, me: Me, key: Key, shop: TheShop, within: Within) -> Balance:
    """Deposits money to the caller's account, for free in the demo."""
    return await shop.deposit(me, key, body.amount_cents, within)


@router.get("/account/bookings", tags=["account"], responses=problems(401, 422, 503))
async def list_bookings(me: Me, shop: TheShop, within: Within, limit: Most = 50) -> list[Booking]:
    """The bookings of the caller's account, newest first."""
    return await shop.bookings(me, limit, within)


@router.get("/search", tags=["search"], responses=problems(400, 409, 422, 503), dependencies=[Depends(_may_read)])
async def search_users(
    *,
    shop: TheShop,
    dependencies: Dependencies,
    request: Request,
    within: Within,
    seen: AtLeast,
    q: Annotated[str, Query(min_length=1, max_length=200, description="words of names and addresses")],
    limit: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 20,
) -> list[UserView]:
    """Users by words, best first; of the caller's tenant, or of none."""
    # The read side has no tenants: request the maximum, and filter by tenant.
    found = await shop.search(q, MAX_FOUND, within, seen)
    visible = await dependencies.users(backends_of(request).users).visible([item.id for item in found])
    return [item for item in found if item.id in visible][:limit]


@router.get(
    "/views/{user_id}", tags=["search"], responses=problems(400, 404, 409, 422, 503), dependencies=[Depends(_may_read)]
)
async def get_view(user_id: UserId, shop: TheShop, users: Users, within: Within, seen: AtLeast) -> UserView:
    """A user of the read side; with the balance for that user itself."""
    await users.admit(user_id)
    caller = meshwright.caller()
    return await shop.view(user_id, within, seen, own=caller is not None and caller.subject == user_id.lower())
