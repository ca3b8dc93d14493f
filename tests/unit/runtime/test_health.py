"""The health of a server that something keeps from serving."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from grpc_health.v1 import health_pb2

from meshwright.server.health import Health

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def check(health: Health, name: str = "") -> tuple[int, tuple[tuple[str, str], ...]]:
    """The status, and the trailing metadata that came with it."""
    trailers: list[tuple[tuple[str, str], ...]] = []
    context = SimpleNamespace(set_trailing_metadata=trailers.append)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=name), context)  # type: ignore[arg-type]
    return answer.status, trailers[0] if trailers else ()


@pytest.fixture
def health() -> Health:
    made = Health("shop")
    made.add(["demo.shop.v1.ShopService"])
    made.start()
    return made


async def test_nothing_serves_while_something_holds_it_and_the_reason_is_told(health: Health) -> None:
    assert await check(health) == (SERVING, ())
    health.hold("database", "the database has lost its tables (größe)")
    health.hold("NATS", "NATS refuses messages")
    reason = "the database has lost its tables (gr\\xf6\\xdfe); NATS refuses messages"
    for name in ("", "shop", "demo.shop.v1.ShopService"):
        assert await check(health, name) == (NOT_SERVING, (("health-reason", reason),))
    health.release("database")
    health.release("database")
    assert (await check(health))[0] == NOT_SERVING
    assert dict(health.reasons) == {"NATS": "NATS refuses messages"}
    health.release("NATS")
    assert await check(health) == (SERVING, ())


async def test_a_reason_of_several_lines_is_told_in_one(health: Health) -> None:
    """gRPC refuses metadata with a line break, and the whole answer with it."""
    health.hold("database", "refused\nDETAIL:\tno\r\n")
    assert (await check(health))[1] == (("health-reason", "refused DETAIL: no"),)


async def test_a_reason_has_bounds(health: Health) -> None:
    health.hold("x", "y" * 5000)
    assert len((await check(health))[1][0][1]) == 1000


async def test_what_is_released_after_draining_serves_nothing(health: Health) -> None:
    health.hold("x", "y")
    health.drain()
    health.release("x")
    assert (await check(health))[0] == NOT_SERVING
