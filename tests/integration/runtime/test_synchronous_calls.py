"""`meshwright.sync.channel`: the stubs of scripts, notebooks, Flask and Django."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from opentelemetry import trace

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from demo.user.v1 import user_pb2
from integration.runtime.calculator import Everything, in_a_thread
from meshwright.config import ConsulConfig, Discovery, ServiceConfig, load_config
from meshwright.errors import InvalidArgumentError
from meshwright.telemetry import Telemetry
from meshwright.telemetry.recording import SpanRecorder
from meshwright.testing import resolving
from support.processes import promised_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.testing import Served

METHOD = "demo.calculator.v1.Calculator/Add"


class Caller:
    """A program that calls: a channel, its stubs, and what it traces and counts."""

    def __init__(self, service: str, served: Served | None, **options: object) -> None:
        self.spans = SpanRecorder()
        fields = {key: options.pop(key) for key in ("call_timeout",) if key in options}
        self.telemetry = Telemetry(load_config(ServiceConfig, {}, service="script", **fields), exporter=self.spans)
        with resolving({} if served is None else {service: [served.address]}):
            self.channel = meshwright.sync.channel(service, telemetry=self.telemetry, **options)
        self.calculator = rpc.CalculatorStub(self.channel)
        self.numbers = rpc.NumberServiceStub(self.channel)

    def page(self) -> str:
        return self.telemetry.metrics.page().decode()


@pytest.fixture(scope="module")
def behaviour() -> dict[str, object]:
    return {}


@pytest.fixture(scope="module")
def served(behaviour: dict[str, object]) -> Iterator[Served]:
    async def act(context: grpc.aio.ServicerContext) -> object:
        return await behaviour["act"](context)

    with in_a_thread(Everything(act)) as calculator:
        yield calculator


@pytest.fixture
def caller(served: Served) -> Iterator[Caller]:
    made = Caller("calculator", served)
    with made.channel:
        yield made
    made.telemetry.close_now()


def test_each_kind_of_method_answers(caller: Caller) -> None:
    assert caller.calculator.Add(pb.Numbers(a=1, b=2)).value == 3
    response, call = caller.calculator.Add.with_call(pb.Numbers(a=2, b=2))
    assert (response.value, call.code()) == (4, grpc.StatusCode.OK)
    assert dict(call.trailing_metadata())["meshwright-version"] == "1.2.3"
    assert caller.calculator.Add.future(pb.Numbers(a=3, b=2)).result(10).value == 5
    assert [prime.value for prime in caller.numbers.GetPrimes(pb.PrimeRequest(limit=7))] == [2, 3, 5, 7]
    assert caller.numbers.SumNumbers(iter([pb.Number(value=1), pb.Number(value=2)])).value == 3
    said = caller.numbers.Chat(iter([pb.ChatMessage(text="a"), pb.ChatMessage(text="b")]))
    assert [message.text for message in said] == ["A", "B"]


def test_a_call_is_traced_and_counted_on_both_sides(caller: Caller, served: Served) -> None:
    with caller.telemetry.tracer.start_as_current_span("report") as parent:
        caller.calculator.Add(pb.Numbers(a=1, b=2))
        assert list(caller.numbers.GetPrimes(pb.PrimeRequest(limit=7)))
    span = caller.spans.clients[0]
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert span.attributes["meshwright.peer.version"] == "1.2.3"
    assert span.attributes["rpc.grpc.status_code"] == 0
    assert any(server.parent.span_id == span.context.span_id for server in served.spans.servers if server.parent)
    assert [item.name for item in caller.spans.clients] == [METHOD, "demo.calculator.v1.NumberService/GetPrimes"]
    labels = f'method="{METHOD}",service="calculator",side="client",status="OK",version="1.2.3"'
    assert f"grpc_requests_total{{{labels}}} 1.0" in caller.page()
    assert f'grpc_requests_in_flight{{method="{METHOD}",service="calculator",side="client"}} 0.0' in caller.page()


def test_errors_have_status_and_details(caller: Caller, behaviour: dict[str, object]) -> None:
    async def act(_context: object) -> None:
        raise InvalidArgumentError("no", fields={"a": "must not be 0"})

    behaviour["act"] = act
    for failing in (caller.calculator.Multiply, lambda request: caller.calculator.Multiply.future(request).result(10)):
        with pytest.raises(grpc.RpcError) as failed:
            failing(pb.Numbers())
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert meshwright.error_details(failed.value).fields == {"a": "must not be 0"}
    assert [span.attributes["rpc.grpc.status_code"] for span in caller.spans.clients] == [3, 3]
    with pytest.raises(grpc.RpcError) as broken:
        list(caller.numbers.GetPrimes(pb.PrimeRequest(limit=-1)))
    assert broken.value.code() is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("request_", [user_pb2.GetUserRequest(id="x"), None, {"a": 1}, "text"])
def test_a_wrong_request_is_a_type_error_and_is_not_sent(caller: Caller, request_: object) -> None:
    with pytest.raises(TypeError, match=f"{METHOD} takes demo.calculator.v1.Numbers, not "):
        caller.calculator.Add(request_)
    with pytest.raises(TypeError, match=r"takes demo\.calculator\.v1\.Numbers"):
        caller.calculator.Add.future(request_)
    with pytest.raises(TypeError, match=r"takes demo\.calculator\.v1\.PrimeRequest"):
        caller.numbers.GetPrimes(request_)
    assert caller.spans.clients == []
    with pytest.raises(TypeError, match=r"SumNumbers takes demo\.calculator\.v1\.Number"):
        caller.numbers.SumNumbers(iter([pb.Number(value=1), request_]))
    with pytest.raises(TypeError, match=r"Chat takes demo\.calculator\.v1\.ChatMessage"):
        list(caller.numbers.Chat(iter([request_])))


def test_what_the_requests_iterator_raises_is_raised(caller: Caller) -> None:
    def requests() -> Iterator[pb.Number]:
        yield pb.Number(value=1)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        caller.numbers.SumNumbers(requests())
    with pytest.raises(KeyError, match="lost"):
        caller.numbers.SumNumbers.future(requests()).result(10)
    (span, _) = caller.spans.clients
    assert not span.status.is_ok


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 15.0), ({"timeout": 3.0}, 3.0), ({"timeout": 0}, None), ({"call_timeout": 4.0}, 4.0)],
)
def test_a_call_has_the_channels_deadline(
    served: Served, behaviour: dict[str, object], options: dict[str, object], expected: float | None
) -> None:
    left: list[float | None] = []

    async def act(context: grpc.aio.ServicerContext) -> None:
        left.append(context.time_remaining())

    behaviour["act"] = act
    made = Caller("calculator", served, **options)
    with made.channel:
        made.calculator.Multiply(pb.Numbers())
    assert left == [expected if expected is None else pytest.approx(expected, abs=0.5)]


def test_deadline_and_authorization_of_the_context_go_along(caller: Caller, behaviour: dict[str, object]) -> None:
    seen: list[tuple[str | None, float]] = []

    async def act(context: grpc.aio.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata() or ())
        seen.append((metadata.get("authorization"), context.time_remaining()))

    behaviour["act"] = act
    from meshwright.calls.incoming import INCOMING, IncomingContext  # noqa: PLC0415 - what WsgiMiddleware sets

    def work() -> None:
        INCOMING.set(IncomingContext(time.monotonic() + 2.0, "Bearer caller"))
        caller.calculator.Multiply(pb.Numbers())

    contextvars.copy_context().run(work)
    with meshwright.deadline(1.0):
        caller.calculator.Multiply(pb.Numbers(), metadata=(("authorization", "Bearer mine"),))
    assert [authorization for authorization, _ in seen] == ["Bearer caller", "Bearer mine"]
    assert 1.0 < seen[0][1] <= 2.01
    assert seen[1][1] <= 1.01
    with meshwright.deadline(-1.0), pytest.raises(grpc.RpcError) as late:
        caller.calculator.Multiply(pb.Numbers())
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(seen) == 2


def test_threads_share_a_channel(caller: Caller) -> None:
    with ThreadPoolExecutor(16) as pool:
        values = list(pool.map(lambda number: caller.calculator.Add(pb.Numbers(a=number, b=1)).value, range(400)))
    assert values == [number + 1 for number in range(400)]
    labels = f'method="{METHOD}",service="calculator",side="client",status="OK",version="1.2.3"'
    assert f"grpc_requests_total{{{labels}}} 400.0" in caller.page()


async def test_a_running_loop_does_not_matter(caller: Caller) -> None:
    assert asyncio.get_running_loop().is_running()
    assert caller.calculator.Add(pb.Numbers(a=1, b=2)).value == 3
    assert (await asyncio.to_thread(caller.calculator.Add, pb.Numbers(a=1, b=2))).value == 3


def test_a_stream_that_is_left_ends_its_span(caller: Caller, served: Served) -> None:
    stream = caller.numbers.GetPrimes(pb.PrimeRequest(limit=100))
    assert next(stream).value == 2
    stream.cancel()
    with pytest.raises(grpc.RpcError) as cancelled:
        list(stream)
    assert cancelled.value.code() is grpc.StatusCode.CANCELLED
    (span,) = caller.spans.clients
    assert span.attributes["error.type"] == "CANCELLED"


def test_a_closed_channel_says_so(caller: Caller) -> None:
    caller.channel.close()
    with pytest.raises(ValueError, match="the channel to calculator is closed"):
        caller.calculator.Add(pb.Numbers())
    caller.channel.close()


def test_nothing_is_opened_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object, **options: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("meshwright.sync.sync_channel.acquire", opened)
    monkeypatch.setattr("meshwright.sync.sync_channel.connect", opened)
    with meshwright.sync.channel("weather") as channel:
        rpc.CalculatorStub(channel)


def by_consul(address: str) -> ServiceConfig:
    consul = load_config(ConsulConfig, {}, address=address)
    return load_config(ServiceConfig, {}, service="script", discovery=Discovery.CONSUL, consul=consul)


def test_a_call_that_reaches_no_instance_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with meshwright.sync.channel("weather", by_consul(f"127.0.0.1:{promised_port()}")) as channel:
        stub, numbers = rpc.CalculatorStub(channel), rpc.NumberServiceStub(channel)
        for failing in (
            lambda: stub.Add(pb.Numbers()),
            lambda: stub.Add.future(pb.Numbers()).result(10),
            lambda: list(numbers.GetPrimes(pb.PrimeRequest())),
            lambda: numbers.SumNumbers(iter([])),
        ):
            with pytest.raises(grpc.RpcError, match="CONSUL_HTTP_ADDR") as failed:
                failing()
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "CONSUL_HTTP_ADDR" in failed.value.details()
            assert "no-instance-of-weather" in failed.value.debug_error_string()


FORK = """
import os, sys, threading, faulthandler
import meshwright.sync
from demo.calculator.v1 import calculator_pb2 as pb, calculator_pb2_grpc as rpc
from meshwright.model import Address
from meshwright.testing import resolving
from meshwright.telemetry import current

with resolving({"calculator": [Address.parse(sys.argv[1])]}):
    channel = meshwright.sync.channel("calculator")
stub = rpc.CalculatorStub(channel)
def call():
    return stub.Add(pb.Numbers(a=1, b=2), timeout=10).value, current().identity.instance
mine = call() if sys.argv[2] == "used" else None
child = os.fork()
if not child:
    faulthandler.dump_traceback_later(20, exit=True)  # a hang is a failure with a traceback
    try:
        theirs = call()
        print("child", theirs[0], "its own instance" if mine is None or mine[1] != theirs[1] else "its parent's")
    except RuntimeError as error:
        print("child", error)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print("parent", call()[0])
"""


@pytest.mark.parametrize(
    ("used", "support", "child"),
    [
        ("unused", "0", "child 3.0 its own instance"),
        ("used", "1", "child 3.0 its own instance"),
        ("used", "0", "child this process was forked after gRPC was used in its parent, so a call to calculator would"),
    ],
)
def test_after_a_fork(served: Served, used: str, support: str, child: str) -> None:
    environ = {
        **os.environ,
        "GRPC_ENABLE_FORK_SUPPORT": support,
        "OTEL_TRACES_EXPORTER": "none",
        "MESHWRIGHT_SERVICE": "script",
    }
    command = [sys.executable, "-c", FORK, str(served.address), used]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert lines[0].startswith(child)
    assert lines[1:] == ["parent 3.0"], done.stderr


def test_spans_of_the_programs_own_are_parents(caller: Caller) -> None:
    assert trace.get_current_span() is trace.INVALID_SPAN
    caller.calculator.Add(pb.Numbers())
    (span,) = caller.spans.clients
    assert span.parent is None
