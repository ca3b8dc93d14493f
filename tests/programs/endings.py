"""Ways in which a handler can end a call, and the status that its caller must see then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import struct_pb2

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


SHORT = 0.5
"""The deadline of calls whose handlers do not end before it."""


class OddError(BaseException):
    """No Exception: what `except Exception` lets through."""


class SpeechlessError(NotFoundError):
    """An error that cannot be told: its facts are no texts."""

    def __init__(self) -> None:
        super().__init__("x", metadata={"id": 7})  # type: ignore[dict-item]


class FineError(NotFoundError):
    code = "OK"


@dataclass(frozen=True, slots=True)
class Ending:
    """`act` runs in the handler; what it returns is the answer. `sent`: messages of a stream before it."""

    name: str
    expected: str
    act: Callable[[Any], Awaitable[Any]]
    timeout: float = 20.0
    cancels: bool = False
    """Whether the caller cancels as soon as the handler was entered."""
    last: Callable[[], None] | None = None
    """Runs in the handler's `finally`."""


GOOD = object()
"""The answer that fits the method."""


def _raising(error: Callable[[], BaseException]) -> Callable[[Any], Awaitable[Any]]:
    async def act(_context: Any) -> Any:
        raise error()

    return act


def _answering(answer: Any) -> Callable[[Any], Awaitable[Any]]:
    async def act(_context: Any) -> Any:
        return answer

    return act


def _setting(setter: str, *values: Any) -> Callable[[Any], Awaitable[Any]]:
    async def act(context: Any) -> Any:
        getattr(context, setter)(*values)
        return GOOD

    return act


def _aborting(*values: Any) -> Callable[[Any], Awaitable[Any]]:
    async def act(context: Any) -> Any:
        await context.abort(*values)

    return act


async def _task_of_another(_context: Any) -> Any:
    task = asyncio.create_task(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def _cancels_itself(_context: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _cancels_itself_and_goes_on(context: Any) -> Any:
    try:
        await _cancels_itself(context)
    except asyncio.CancelledError:
        return GOOD


async def _swallows_its_abort(context: Any) -> Any:
    try:
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
    except grpc.aio.AbortError:
        return GOOD


async def _replaces_its_abort(context: Any) -> Any:
    try:
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
    except grpc.aio.AbortError as error:
        raise ValueError("secret") from error


async def _bad_initial_metadata(context: Any) -> Any:
    await context.send_initial_metadata((("x-bad key", "1"),))
    return GOOD


async def _waits(_context: Any) -> Any:
    await asyncio.Event().wait()


async def _waits_and_answers(context: Any) -> Any:
    try:
        await _waits(context)
    except asyncio.CancelledError:
        return GOOD


async def _waits_and_fails(context: Any) -> Any:
    try:
        await _waits(context)
    except asyncio.CancelledError as error:
        raise ValueError("secret") from error


async def _does_not_stop(context: Any) -> Any:
    """Goes on long after its deadline; the test ends before it does."""
    try:
        await _waits(context)
    except asyncio.CancelledError:
        await asyncio.sleep(60)


def _fail() -> None:
    raise ValueError("secret")


def _behind(code: grpc.StatusCode) -> Callable[[], BaseException]:
    return lambda: grpc.aio.AioRpcError(code, details="secret")


CODE = grpc.StatusCode
ENDINGS = (
    Ending("answers", "OK", _answering(GOOD)),
    Ending("forgets to return", "INTERNAL", _answering(None)),
    Ending("answers with text", "INTERNAL", _answering("secret")),
    Ending("answers with bytes", "INTERNAL", _answering(b"secret")),
    Ending("answers with another message", "INTERNAL", _answering(struct_pb2.Struct())),
    Ending("answers with a class", "INTERNAL", _answering(pb.Result)),
    Ending("raises", "INTERNAL", _raising(lambda: ValueError("secret"))),
    Ending("raises no Exception", "INTERNAL", _raising(lambda: OddError("secret"))),
    Ending("raises StopIteration", "INTERNAL", _raising(lambda: StopIteration("secret"))),
    Ending("raises StopAsyncIteration", "INTERNAL", _raising(lambda: StopAsyncIteration("secret"))),
    Ending("raises GeneratorExit", "INTERNAL", _raising(lambda: GeneratorExit("secret"))),
    Ending("raises AbortError by hand", "INTERNAL", _raising(lambda: grpc.aio.AbortError("secret"))),
    Ending("raises UsageError", "INTERNAL", _raising(lambda: grpc.aio.UsageError("secret"))),
    Ending("raises CancelledError", "INTERNAL", _raising(asyncio.CancelledError)),
    Ending("raises what a deadline raises", "INTERNAL", _raising(TimeoutError)),
    Ending("waits for a task that was cancelled", "INTERNAL", _task_of_another),
    Ending("cancels itself", "INTERNAL", _cancels_itself),
    Ending("cancels itself and goes on", "OK", _cancels_itself_and_goes_on),
    Ending("says not found", "NOT_FOUND", _raising(lambda: NotFoundError("no such thing"))),
    Ending("says it with a lone surrogate", "NOT_FOUND", _raising(lambda: NotFoundError("\ud800"))),
    Ending("says it at length", "NOT_FOUND", _raising(lambda: NotFoundError("é" * 50_000))),
    Ending("says what cannot be told", "INTERNAL", _raising(SpeechlessError)),
    Ending("fails with OK", "INTERNAL", _raising(lambda: FineError("secret"))),
    Ending("is refused behind", "RESOURCE_EXHAUSTED", _raising(_behind(CODE.RESOURCE_EXHAUSTED))),
    Ending("is not found behind", "INTERNAL", _raising(_behind(CODE.NOT_FOUND))),
    Ending("is cancelled behind", "INTERNAL", _raising(_behind(CODE.CANCELLED))),
    Ending("aborts", "NOT_FOUND", _aborting(CODE.NOT_FOUND, "gone")),
    Ending("aborts with a fault", "DATA_LOSS", _aborting(CODE.DATA_LOSS, "gone")),
    Ending("aborts with metadata", "NOT_FOUND", _aborting(CODE.NOT_FOUND, "gone", (("x-reason", "1"),))),
    Ending("aborts with bad metadata", "INTERNAL", _aborting(CODE.NOT_FOUND, "secret", (("Upper", "1"),))),
    Ending("aborts with a lone surrogate", "NOT_FOUND", _aborting(CODE.NOT_FOUND, "\udfff")),
    Ending("aborts with a number", "NOT_FOUND", _aborting(5, "gone")),
    Ending("aborts with OK", "INTERNAL", _aborting(CODE.OK, "secret")),
    Ending("aborts with nonsense", "INTERNAL", _aborting("secret", "secret")),
    Ending("aborts with bytes", "INTERNAL", _aborting(CODE.NOT_FOUND, b"secret")),
    Ending("aborts and goes on", "NOT_FOUND", _swallows_its_abort),
    Ending("aborts and fails", "NOT_FOUND", _replaces_its_abort),
    Ending("aborts and fails at last", "NOT_FOUND", _aborting(CODE.NOT_FOUND, "gone"), last=_fail),
    Ending("fails at last", "INTERNAL", _answering(GOOD), last=_fail),
    Ending("sets a status", "NOT_FOUND", _setting("set_code", CODE.NOT_FOUND)),
    Ending("sets a number", "UNAUTHENTICATED", _setting("set_code", 16)),
    Ending("sets nonsense", "INTERNAL", _setting("set_code", 42)),
    Ending("sets details that are none", "INTERNAL", _setting("set_details", b"secret")),
    Ending("sets good metadata", "OK", _setting("set_trailing_metadata", (("x-cost", "1"), ("x-bin", b"\x00\xff")))),
    Ending("sets a bad key", "INTERNAL", _setting("set_trailing_metadata", (("x-bad key", "1"),))),
    Ending("sets an upper key", "INTERNAL", _setting("set_trailing_metadata", (("Upper", "1"),))),
    Ending("sets a key of HTTP", "INTERNAL", _setting("set_trailing_metadata", ((":status", "200"),))),
    Ending("sets a bad value", "INTERNAL", _setting("set_trailing_metadata", (("x-value", "é\n"),))),
    Ending("sets text for bytes", "INTERNAL", _setting("set_trailing_metadata", (("x-bin", "text"),))),
    Ending("sets too much", "INTERNAL", _setting("set_trailing_metadata", (("x-value", "1" * 20_000),))),
    Ending("sets no metadata", "INTERNAL", _setting("set_trailing_metadata", 7)),
    Ending("sends bad metadata", "INTERNAL", _bad_initial_metadata),
    Ending("waits past the deadline", "DEADLINE_EXCEEDED", _waits, timeout=SHORT),
    Ending("answers after the deadline", "DEADLINE_EXCEEDED", _waits_and_answers, timeout=SHORT),
    Ending("fails after the deadline", "DEADLINE_EXCEEDED", _waits_and_fails, timeout=SHORT),
    Ending("does not stop at the deadline", "DEADLINE_EXCEEDED", _does_not_stop, timeout=SHORT),
    Ending("is cancelled", "CANCELLED", _waits, cancels=True),
    Ending("is cancelled and answers", "CANCELLED", _waits_and_answers, cancels=True),
    Ending("is cancelled and fails", "CANCELLED", _waits_and_fails, cancels=True),
)


class Ends(rpc.CalculatorServicer, rpc.NumberServiceServicer):
    """Each method ends as the script says that is next in its line: Multiply, GetPrimes, SumNumbers, Chat; Add writes.

    Streams send as many good messages before as the script asks.
    """

    def __init__(self, scripts: dict[str, tuple[Ending, int]]) -> None:
        self.scripts = scripts
        self.entered: dict[str, asyncio.Event] = {number: asyncio.Event() for number in scripts}

    def script(self, context: Any) -> tuple[Ending, int]:
        """How this call ends, after how many messages."""
        number = dict(context.invocation_metadata())["script"]
        self.entered[number].set()
        return self.scripts[number]

    async def _end(self, context: Any, good: Any) -> Any:
        ending, _ = self.script(context)
        try:
            answer = await ending.act(context)
        finally:
            if ending.last is not None:
                ending.last()
        return good if answer is GOOD else answer

    async def Multiply(self, request: pb.Numbers, context: Any) -> Any:
        return await self._end(context, pb.Result(value=1))

    async def SumNumbers(self, request_iterator: AsyncIterator[pb.Number], context: Any) -> Any:
        async for _ in request_iterator:
            pass
        return await self._end(context, pb.Sum(value=1))

    async def GetPrimes(self, request: pb.PrimeRequest, context: Any) -> AsyncIterator[Any]:
        for _ in range(self.script(context)[1]):
            yield pb.Prime(value=2)
        yield await self._end(context, pb.Prime(value=3))

    async def Chat(self, request_iterator: AsyncIterator[pb.ChatMessage], context: Any) -> None:
        async for _ in request_iterator:
            pass
        for _ in range(self.script(context)[1]):
            await context.write(pb.ChatMessage(text="x"))
        await context.write(await self._end(context, pb.ChatMessage(text="y")))
