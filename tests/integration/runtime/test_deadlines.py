"""An outgoing call never outlives the incoming one."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, failure, numbers
from meshwright.calls.incoming import INCOMING, IncomingContext, earlier_deadline
from meshwright.client import channel
from meshwright.config import ServiceConfig, load_config
from meshwright.testing import resolving


@given(
    timeout=st.none() | st.floats(0, 1e6),
    left=st.floats(-1e3, 1e6),
    now=st.integers(0, 10**9),
)
def test_no_outgoing_timeout_reaches_past_the_incoming_deadline(timeout: float | None, left: float, now: int) -> None:
    deadline = now + left
    chosen = earlier_deadline(timeout, deadline, now)
    assert chosen is not None
    assert chosen <= max(0.0, deadline - now)
    if timeout is not None:
        assert chosen <= timeout
    if deadline <= now:
        assert chosen < 0


def test_without_an_incoming_deadline_the_calls_own_timeout_counts() -> None:
    assert earlier_deadline(None, None, 0.0) is None
    assert earlier_deadline(2.5, None, 0.0) == 2.5


async def relay_to(inner: Everything, seconds: float, **options):
    """Calls a service that calls `inner` with `options`; how the outer call failed, and after how long."""
    async with everything(inner) as back:

        async def act(context):
            await rpc.CalculatorStub(back.channel).Multiply(pb.Numbers(), **options)

        async with everything(Everything(act)) as front:
            began = time.monotonic()
            error = await failure(rpc.CalculatorStub(front.channel).Multiply(pb.Numbers(), timeout=seconds))
            await asyncio.wait_for(inner.cancelled.wait(), 5)
            return error, time.monotonic() - began


@pytest.mark.parametrize("options", [{}, {"timeout": 60.0}])
async def test_the_call_behind_ends_with_the_call_before(options) -> None:
    inner = Everything(lambda context: asyncio.Event().wait())
    error, seconds = await relay_to(inner, 0.2, **options)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.15 < seconds < 2


async def test_the_deadline_that_the_service_behind_sees_is_what_is_left() -> None:
    left: list[float] = []

    async def note(context):
        left.append(context.time_remaining())

    async with everything(Everything(note)) as back:

        async def act(context):
            await rpc.CalculatorStub(back.channel).Multiply(pb.Numbers(), timeout=100)
            await rpc.CalculatorStub(back.channel).Multiply(pb.Numbers(), timeout=0.5)

        async with everything(Everything(act)) as front:
            await rpc.CalculatorStub(front.channel).Multiply(pb.Numbers(), timeout=5)
    assert 4 < left[0] <= 5.01
    assert left[1] <= 0.51  # the wire's header counts in milliseconds, rounded up


async def test_work_that_outlives_the_call_is_detached_from_its_deadline() -> None:
    seen: list[float | None] = []

    async def act(context):
        seen.append(meshwright.time_left())
        with meshwright.without_deadline():
            seen.append(meshwright.time_left())
        seen.append(meshwright.time_left())

    async with everything(Everything(act)) as calculator:
        await rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers(), timeout=5)
    assert seen[0] is not None
    assert seen[1] is None
    assert seen[2] is not None


def test_a_deadline_inside_another_never_extends_it() -> None:
    with meshwright.deadline(1.0):
        with meshwright.deadline(50.0):
            assert meshwright.time_left() <= 1.0
        with meshwright.deadline(0.5):
            assert meshwright.time_left() <= 0.5
    assert meshwright.time_left() is None


def test_a_deadline_in_the_past_leaves_no_time() -> None:
    token = INCOMING.set(IncomingContext(time.monotonic() - 5))
    try:
        assert meshwright.time_left() == 0.0
    finally:
        INCOMING.reset(token)


async def test_a_call_after_the_deadline_fails_at_once() -> None:
    servicer = Everything(lambda context: asyncio.Event().wait())
    async with everything(servicer) as calculator:
        with meshwright.deadline(-1.0):
            error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers(), timeout=30))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not servicer.entered.is_set()


@pytest.mark.parametrize("timeout", [0.0, 1e-7, 0.0009, -1.0])
async def test_a_call_with_less_time_than_grpc_can_count_is_not_sent(timeout: float) -> None:
    servicer = Everything()
    async with everything(servicer) as calculator:
        stub = rpc.CalculatorStub(calculator.channel)
        await stub.Multiply(pb.Numbers())
        servicer.entered.clear()
        for _ in range(20):
            error = await failure(stub.Multiply(pb.Numbers(), timeout=timeout))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not servicer.entered.is_set()


async def authorization_seen(*, forward: bool, own: str | None) -> str | None:
    seen: list[str | None] = []

    async def note(context):
        seen.append(dict(context.invocation_metadata()).get("authorization"))

    async with everything(Everything(note)) as back:
        with resolving({"back": [back.address]}):
            between = channel("back", telemetry=back.telemetry, authorization=forward)

        async def act(context):
            metadata = (("authorization", own),) if own else None
            await rpc.CalculatorStub(between).Multiply(pb.Numbers(), metadata=metadata)

        async with between, everything(Everything(act)) as front:
            incoming = (("authorization", "Bearer caller"),)
            await rpc.CalculatorStub(front.channel).Multiply(pb.Numbers(), metadata=incoming)
    return seen[0]


@pytest.mark.parametrize(
    ("forward", "own", "seen"),
    [(True, None, "Bearer caller"), (False, None, None), (True, "Bearer mine", "Bearer mine")],
)
async def test_authorization_goes_on_unless_the_channel_or_the_call_says_otherwise(forward, own, seen) -> None:
    assert await authorization_seen(forward=forward, own=own) == seen


async def time_left_behind(method: str, **options) -> float | None:
    """What a servicer sees of the deadline of a call that gives none."""
    left: list[float | None] = []

    class Noting(Everything):
        async def Add(self, request, context):
            left.append(context.time_remaining())
            return pb.Result()

        async def GetPrimes(self, request, context):
            left.append(context.time_remaining())
            yield pb.Prime(value=2)

        async def SumNumbers(self, request_iterator, context):
            left.append(context.time_remaining())
            return pb.Sum()

    fields = {key: options.pop(key) for key in ("call_timeout",) if key in options}
    async with everything(Noting(), **fields) as back:
        with resolving({"back": [back.address]}):
            mine = channel("back", back.server.config, telemetry=back.telemetry, **options)
        async with mine:
            if method == "Add":
                await rpc.CalculatorStub(mine).Add(pb.Numbers())
            elif method == "GetPrimes":
                async for _ in rpc.NumberServiceStub(mine).GetPrimes(pb.PrimeRequest(limit=2)):
                    pass
            else:
                await rpc.NumberServiceStub(mine).SumNumbers(numbers(1.0))
    return left[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 15.0),
        ({"call_timeout": 4.0}, 4.0),
        ({"timeout": 3.0, "call_timeout": 4.0}, 3.0),
        ({"timeout": 0}, None),
        ({"call_timeout": 0.0}, None),
    ],
)
async def test_a_call_has_the_channels_deadline(options, expected: float | None) -> None:
    left = await time_left_behind("Add", **options)
    assert left == (expected if expected is None else pytest.approx(expected, abs=0.5))


@pytest.mark.parametrize("method", ["GetPrimes", "SumNumbers"])
async def test_a_stream_lasts_as_long_as_it_is_read(method: str) -> None:
    assert await time_left_behind(method) is None
    assert await time_left_behind(method, timeout=3.0) is None


def test_the_default_deadline_is_no_negative_number() -> None:
    with pytest.raises(
        meshwright.ValidationError, match="MESHWRIGHT_CALL_TIMEOUT: expected seconds, or 0 for none, not -1"
    ):
        load_config(ServiceConfig, {"MESHWRIGHT_CALL_TIMEOUT": "-1"}, service="x")


def test_a_call_outside_an_event_loop_says_what_to_use_instead() -> None:
    with resolving({}):
        outside = channel("weather", load_config(ServiceConfig, {}, service="script"))
    stub = rpc.CalculatorStub(outside)
    try:
        numbers = rpc.NumberServiceStub(outside)
        calls = {stub.Add: pb.Numbers(), numbers.GetPrimes: pb.PrimeRequest(), numbers.SumNumbers: iter([pb.Number()])}
        for call, argument in calls.items():
            with pytest.raises(RuntimeError, match=r"no event loop runs here.*meshwright\.sync\.channel\('weather'\)"):
                call(argument)
    finally:
        asyncio.run(outside.close())
