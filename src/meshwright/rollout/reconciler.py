"""Following one rollout through its life: the loop around the engine that every shell runs.

A shell says what the resource is now (`update`), when to look again (`wake`), and how to write a status. The loop holds
the status between passes, because what a shell reads back may be older than what it wrote. It takes the status that the
resource came with once, at its start: that is what makes a restart a continuation.

A resource that is not valid is permanent: its status says why, and nothing is tried again until it changes. A side that
is away is temporary: the next pass comes soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshwright.errors import BadInputError, MeshwrightError
from meshwright.rollout.api import status_document
from meshwright.rollout.api.parsing import parse, refuse_change
from meshwright.rollout.api.spec import Rollout
from meshwright.rollout.api.status import Condition, Interrupted, RolloutStatus
from meshwright.rollout.api.vocabulary import ConditionType, EventType, Phase, Reason
from meshwright.rollout.reconcile.decision import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from meshwright.rollout.engine import Engine, ReconcileResult
    from meshwright.rollout.metrics import RolloutMetrics

log = logging.getLogger(__name__)

AGAIN = 30.0
"""Seconds until a resource is looked at again that is not valid for something else's sake."""
SOON = 1.0
"""Seconds until the next try when a status could not be written."""


class Reconciler:
    """One rollout. `write` stores a status; it returns False where the resource is gone.

    `after_pass` is a shell's own part of a pass that went well, with the status that the pass came to. `read` makes the
    values of the resource, and raises `BadInputError` where it is not valid.
    """

    def __init__(
        self,
        engine: Engine,
        document: Mapping[str, Any],
        write: Callable[[RolloutStatus], Awaitable[bool]],
        metrics: RolloutMetrics,
        *,
        clock: Callable[[], float] = time.time,
        after_pass: Callable[[Rollout, RolloutStatus], Awaitable[None]] | None = None,
        read: Callable[[Mapping[str, Any]], Rollout] = parse,
    ) -> None:
        self._after_pass = after_pass
        self._read = read
        self.document = document
        self.status = status_document.read(document.get("status") or {})
        self.rollout: Rollout | None = None
        """The last valid form of the resource."""
        self.pass_began: float | None = None
        """When the pass that is running began, on the monotonic clock; None between passes."""
        self._engine = engine
        self._write = write
        self._metrics = metrics
        self._clock = clock
        self._woken = asyncio.Event()
        self._lock = asyncio.Lock()
        self._finalizing = False

    def update(self, document: Mapping[str, Any]) -> None:
        """The resource as it is now."""
        self.document = document
        self._woken.set()

    def wake(self) -> None:
        """Something that the rollout depends on has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Pass after pass, until cancelled or until the resource is gone."""
        while True:
            self._woken.clear()
            async with self._lock:
                if self._finalizing:
                    return
                self.pass_began = time.monotonic()
                try:
                    delay = await self._pass()
                finally:
                    self.pass_began = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._woken.wait()

    async def retire_others(self) -> str:
        """The resource is being deleted: a step towards the stable version alone. What is waited for; empty: none."""
        async with self._lock:
            self._finalizing = True
            self._woken.set()
            rollout = self._parsed() or self.rollout
            if rollout is None:
                return ""
            outcome, waiting = await self._engine.retire_others(rollout, self.status)
            _log_failures(rollout, outcome)
            return waiting

    async def finalize(self) -> bool:
        """The resource is being deleted: finalize it once, after the pass that is running. False: try again later."""
        async with self._lock:
            self._finalizing = True
            self._woken.set()
            rollout = self._parsed() or self.rollout
            if rollout is None:  # it was never valid, so nothing was ever done for it
                return True
            outcome = await self._engine.finalize(rollout, self.status)
            _log_failures(rollout, outcome)
            if outcome.failures:
                return False
            await self._engine.publish(rollout, outcome)
            self._metrics.forget(rollout.namespace, rollout.name)
            return True

    async def _pass(self) -> float | None:
        """One pass; returns the seconds until the next, None: when something changes."""
        try:
            rollout = self._read(self.document)
            if self.rollout is not None:
                refuse_change(self.rollout, rollout)
            rollout = await self._engine.resolve(rollout, self.status)
        except BadInputError as error:
            return await self._refuse(error)
        except MeshwrightError as error:
            log.warning("the version that is asked for could not be found out: %s", error)
            return SOON
        self.rollout = rollout
        before = self.status
        outcome = await self._engine.reconcile(rollout, before, self._clock())
        _log_failures(rollout, outcome)
        for _ in outcome.failures:
            self._metrics.failed(rollout)
        if not await self._store(outcome.status):
            return SOON
        self._metrics.note(rollout, before, outcome.status)
        await self._engine.publish(rollout, outcome)
        if self._after_pass is not None:
            try:
                await self._after_pass(rollout, outcome.status)
            except MeshwrightError as error:
                log.warning("%s/%s: %s", rollout.namespace, rollout.name, error)
                return SOON
        return outcome.requeue_after

    def _parsed(self) -> Rollout | None:
        try:
            return self._read(self.document)
        except BadInputError:
            return None

    async def _refuse(self, error: BadInputError) -> float | None:
        log.warning("%s", error)
        metadata = self.document.get("metadata") or {}
        generation = int(metadata.get("generation") or 0)
        before = self.status
        if not await self._store(refused(before, error, generation, self._clock())):
            return SOON
        self._metrics.refused(metadata.get("namespace") or "default", metadata.get("name") or "", self.status)
        if (before.phase, before.message) != (self.status.phase, self.status.message):
            event = Event(EventType.WARNING, self.status.reason, self.status.message)
            await self._engine.record_events(_nameless(self.document), (event,))
        # What the reference says may become right without a change of the resource.
        return AGAIN if "workloadRef" in (self.document.get("spec") or {}) else None

    async def _store(self, status: RolloutStatus) -> bool:
        """Write the status where it differs; False where it could not be written."""
        if status == self.status:
            return True
        try:
            if not await self._write(status):
                self._finalizing = True
        except MeshwrightError as error:
            log.warning("the status could not be written, the pass is repeated: %s", error)
            return False
        self.status = status
        return True


def _nameless(document: Mapping[str, Any]) -> Rollout:
    """As much of a resource as an announcement needs, of one that is not valid."""
    metadata = document.get("metadata") or {}
    return Rollout(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace") or "default"),
        uid=str(metadata.get("uid", "")),
        service="",
        version="",
    )


def refused(status: RolloutStatus, error: BadInputError, generation: int, now: float) -> RolloutStatus:
    """The status of a resource that is not valid: what ran before goes on running, and the message names the fields."""
    message = "; ".join(map(str, error.problems))
    reason = error.reason or Reason.INVALID_SPEC.value
    before = status.condition(ConditionType.PROGRESSING)
    since = before.since if before is not None and not before.status else now
    condition = Condition(ConditionType.PROGRESSING, status=False, reason=reason, message=message, since=since)
    others = tuple(item for item in status.conditions if item.type is not ConditionType.PROGRESSING)
    stood = status.interrupted
    if status.phase is not Phase.INVALID:
        stood = Interrupted(status.phase, status.reason, status.message)
    return replace(
        status,
        observed_generation=generation,
        interrupted=stood,
        phase=Phase.INVALID,
        reason=reason,
        message=message,
        conditions=(*others, replace(condition, generation=generation)),
    )


def _log_failures(rollout: Rollout, outcome: ReconcileResult) -> None:
    for failure in outcome.failures:
        log.warning("%s/%s: %s: %s", rollout.namespace, rollout.name, failure.what, failure.error)
