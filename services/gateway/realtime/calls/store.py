"""The calls of all replicas: a NATS key-value bucket (ADR-8), a key for each slot, changed by compare-and-set.

A replica changes a call on the condition that the key has the revision that it decided on; of two replicas that decide
at once one is refused, and decides again. Each replica follows the bucket, so that all know each call, and tell their
own connections of each change. An entry holds the events of its last change: they are published after it was written,
or later by any replica (`events`), so that none is lost with a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nats.js.errors import BadRequestError

from services.common.messaging.ordered_consumer import OrderedConsumer
from services.common.messaging.stream_reader import StreamReader
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task
from services.gateway.realtime.calls.domain import Call, CallEvent, CallState, Participant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from services.common.messaging.bus import Bus
    from services.common.messaging.stream_reader import StoredMessage

log = logging.getLogger(__name__)

BUCKET = "CALLS"
STREAM = f"KV_{BUCKET}"
_PREFIX = f"$KV.{BUCKET}."
KEPT_SECONDS = 86_400.0
"""Longer than the longest call."""
MOST_BYTES = 65_536
RETRY_SECONDS = 0.2
_WRONG_REVISION = {10071, 10164}


class ConflictError(Exception):
    """Another replica has changed the call."""


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call, the events of its last change, and the revision of its key."""

    call: Call
    events: tuple[CallEvent, ...]
    revision: int


class CallStore:
    """`on_change` is called with a call's state before and after, in the order of revisions; None: no such call.

    Every method may raise BusUnavailableError.
    """

    def __init__(self, bus: Bus, on_change: Callable[[StoredCall | None, StoredCall | None], None]) -> None:
        self._bus = bus
        self._on_change = on_change
        self._reader = StreamReader(bus, STREAM)
        self._consumer = OrderedConsumer(bus, STREAM, self._prepare, self._take, self._lost)
        self._known: dict[str, StoredCall] = {}
        self._loaded = False

    @property
    def hearing(self) -> bool:
        """Whether changes of other replicas reach this one now."""
        return self._loaded and self._consumer.hearing

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the bucket for as long as the context lasts."""
        async with self._consumer.running(), background_task(self._load(), "loading calls"):
            yield

    def calls(self) -> Sequence[StoredCall]:
        """All calls that are known here, those that are over for a while included."""
        return list(self._known.values())

    def get(self, slot: str) -> StoredCall | None:
        return self._known.get(slot)

    async def read(self, slot: str) -> StoredCall | None:
        """The call of a slot as the leader has it."""
        found = await self._reader.last(f"{_PREFIX}{slot}")
        if found is None:
            self._known.pop(slot, None)
            return None
        self._take(found)
        return self._known.get(slot)

    async def write(self, slot: str, call: Call, events: Sequence[CallEvent], before: StoredCall | None) -> StoredCall:
        """Writes the call if the key has the revision of `before`. Raises ConflictError."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(before.revision if before else 0)}
        body = _encode(call, events)
        try:
            # No cause: the call has spans of its own.
            answer = await self._bus.publish(STREAM, f"{_PREFIX}{slot}", body, headers, cause="")
        except BadRequestError as error:
            if error.err_code in _WRONG_REVISION:
                raise ConflictError from error
            raise BusUnavailableError from error
        stored = StoredCall(call, tuple(events), int(answer.seq))
        self._learn(slot, stored)
        return stored

    async def _load(self) -> None:
        """Reads what was there before the consumer began."""
        while not self._loaded:
            with contextlib.suppress(BusUnavailableError):
                if await self._consumer.ready(60.0):
                    async for message in self._reader.between(f"{_PREFIX}>", 0, self._consumer.position):
                        self._take(message)
                    self._loaded = True
                    return
            await asyncio.sleep(RETRY_SECONDS)

    async def _prepare(self) -> None:
        await self._bus.ensure_stream(
            STREAM,
            f"{_PREFIX}>",
            max_msgs_per_subject=1,
            max_age=KEPT_SECONDS,
            max_msg_size=MOST_BYTES,
            allow_rollup_hdrs=True,
            deny_delete=True,
            discard="new",
        )

    def _take(self, message: StoredMessage) -> None:
        slot = message.subject.removeprefix(_PREFIX)
        try:
            call, events = _decode(message.body)
        except (ValueError, KeyError, TypeError) as error:
            log.error("the call %s is skipped: %r", slot, error)
            return
        self._learn(slot, StoredCall(call, events, message.sequence))

    def _learn(self, slot: str, stored: StoredCall) -> None:
        before = self._known.get(slot)
        if before is None or before.revision < stored.revision:
            self._known[slot] = stored
            self._on_change(before, stored)

    def _lost(self) -> None:
        known, self._known = self._known, {}
        for stored in known.values():
            self._on_change(stored, None)

    def forget(self, slot: str) -> None:
        """Forgets a call that is over; its key stays until it expires, or the next call takes it."""
        self._known.pop(slot, None)


def _encode(call: Call, events: Sequence[CallEvent]) -> bytes:
    document = dataclasses.asdict(call) | {"state": call.state.value}
    listed = [{"name": each.name, "at": each.at, "data": dict(each.data)} for each in events]
    return json.dumps({"call": document, "events": listed}, separators=(",", ":")).encode()


def _decode(body: bytes) -> tuple[Call, tuple[CallEvent, ...]]:
    document = json.loads(body)
    fields: dict[str, Any] = dict(document["call"])
    fields["state"] = CallState(fields["state"])
    fields["participants"] = tuple(_participant(each) for each in fields["participants"])
    fields["refused"] = tuple(fields["refused"])
    events = tuple(CallEvent(str(each["name"]), float(each["at"]), each["data"]) for each in document["events"])
    return Call(**_known(Call, fields)), events


def _participant(document: Mapping[str, Any]) -> Participant:
    return Participant(**_known(Participant, document))


def _known(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without fields that a later version may have added."""
    names = {each.name for each in dataclasses.fields(kind)}
    return {name: value for name, value in fields.items() if name in names}
