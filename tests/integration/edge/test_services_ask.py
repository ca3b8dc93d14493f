"""The services behind the gateway ask their callers, too: who they are, and whose things they want."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from demo.inventory.v1 import inventory_pb2 as inventory_pb
from demo.inventory.v1 import inventory_pb2_grpc as inventory_rpc
from demo.payment.v1 import payment_pb2 as pb
from demo.payment.v1 import payment_pb2_grpc as rpc
from meshwright.auth import Auth, JwtVerifier
from meshwright.testing import Issuer, served
from services.common.storage.database import open_database
from services.inventory import adapters as inventory_adapters
from services.inventory import app as inventory_app
from services.inventory import server as inventory
from services.payment import adapters, app
from services.payment import server as payment

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

SERVICES = ("calculator", "user", "inventory", "payment", "order", "notification", "chat", "userview")


async def refusal(call: grpc.aio.UnaryUnaryCall) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    found = meshwright.error_details(caught.value)
    return found.code, found.reason


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_lets_through_are_methods_that_it_has(service: str) -> None:
    """A slip in the list would keep the service from starting; what is not in it needs a token."""
    public = importlib.import_module(f"services.{service}.server").PUBLIC
    methods = set()
    for version in ("v1", "v2"):
        try:
            module = importlib.import_module(f"demo.{service}.{version}.{service}_pb2")
        except ModuleNotFoundError:
            continue
        for found in module.DESCRIPTOR.services_by_name.values():
            methods |= {f"/{found.full_name}/{method.name}" for method in found.methods}
    assert Auth(JwtVerifier({"keys": []}, issuer="x", audience="x"), public).unmatched(methods) == []
    if service not in {"calculator", "user"}:
        assert methods - public


async def test_what_is_in_stock_and_what_it_costs_is_an_admins_to_say(tmp_path: Path) -> None:
    issuer = Issuer()
    engine = open_database("X", f"sqlite:///{tmp_path}/inventory.db")
    store = inventory_adapters.DatabaseStore(engine)
    await store.prepare()
    service = inventory.InventoryService(inventory_app.Warehouse(store))
    add = inventory_rpc.add_InventoryServiceServicer_to_server
    auth = Auth(issuer.verifier(), inventory.PUBLIC)
    async with served(add, service, service="inventory", errors=inventory.ERRORS, auth=auth) as made:
        stub = inventory_rpc.InventoryServiceStub(made.channel)
        more = inventory_pb.RestockRequest(key="r", sku="TEA", quantity=1, title="Tea", price_cents=1)
        assert await refusal(stub.Restock(more)) == ("UNAUTHENTICATED", "TOKEN_MISSING")
        eve = issuer.metadata("eve", roles=["admin"], tenant="eves")
        assert await refusal(stub.Restock(more, metadata=eve)) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        operator = issuer.metadata("operator", roles=["admin"])
        assert (await stub.Restock(more, metadata=operator)).available == 1
    await engine.dispose()


async def test_money_is_its_owners_and_an_admins(tmp_path: Path) -> None:
    issuer = Issuer()
    engine = open_database("X", f"sqlite:///{tmp_path}/payment.db")
    store = adapters.DatabaseStore(engine)
    await store.prepare()
    service = payment.PaymentService(app.Cashier(store))
    add = rpc.add_PaymentServiceServicer_to_server
    auth = Auth(issuer.verifier(), payment.PUBLIC)
    async with served(add, service, service="payment", errors=payment.ERRORS, auth=auth) as made:
        stub = rpc.PaymentServiceStub(made.channel)
        ada = f"{os.urandom(4).hex()}-0000-7000-8000-000000000000"

        def as_(subject: str, *roles: str) -> tuple[tuple[str, str], ...]:
            return issuer.metadata(subject, roles=list(roles))

        deposit: Message = pb.DepositRequest(key="d", user_id=ada, amount_cents=500)
        assert await refusal(stub.Deposit(deposit)) == ("UNAUTHENTICATED", "TOKEN_MISSING")
        assert await refusal(stub.Deposit(deposit, metadata=as_("eve"))) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        assert (await stub.Deposit(deposit, metadata=as_(ada))).balance_cents == 500
        account = pb.GetAccountRequest(user_id=ada)
        assert await refusal(stub.GetAccount(account, metadata=as_("eve"))) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        assert (await stub.GetAccount(account, metadata=as_("root", "admin"))).balance_cents == 500
        founder = issuer.metadata("eve", roles=["admin"], tenant="eves")
        assert await refusal(stub.GetAccount(account, metadata=founder)) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        bookings = pb.ListBookingsRequest(user_id=ada)
        assert await refusal(stub.ListBookings(bookings, metadata=as_("eve"))) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        theirs: Message = pb.DepositRequest(key="e", user_id="auth0|AbC", amount_cents=1)
        assert (await stub.Deposit(theirs, metadata=as_("auth0|AbC"))).balance_cents == 1
        assert await refusal(stub.Deposit(theirs, metadata=as_("auth0|abC"))) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        in_capitals = pb.GetAccountRequest(user_id=ada.upper())
        assert await refusal(stub.GetAccount(in_capitals, metadata=as_(ada))) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
        # The saga has no token to show, and needs none.
        charged = await stub.Charge(pb.ChargeRequest(key="o1", user_id=ada, amount_cents=200))
        assert charged.state == pb.CHARGED
        assert (await stub.Refund(pb.RefundRequest(key="o1"))).state == pb.REFUNDED
    await engine.dispose()
