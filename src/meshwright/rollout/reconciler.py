"""The reconcile loop of one rollout, shared by the operator and `meshwright up`.

The caller passes the current resource (`update`), wakes the loop on other changes (`wake`), and writes the status. The
loop keeps the status between passes, because a read may return an older one than was written. It reads the resource's
status once, at the start, and so continues after a restart.

An invalid resource is a permanent error: its status holds the reason, and there is no retry until it changes. An
unreachable side is temporary: the next pass follows soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError, ValidationError
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
"""Seconds until the next pass over a resource that is invalid because of another object."""
SOON = 1.0
"""Seconds until the next attempt to write a status."""


class Reconciler:
    """Reconciles one rollout. `write` stores a status; it returns False where the resource is gone.

    `after_pass` is called after each successful pass with the resulting status. `read` parses the resource; it raises
    `ValidationError` for an invalid one.
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
        """The last valid version of the resource."""
        self.pass_began: float | None = None
        """The start of the running pass, on the monotonic clock; None between passes."""
        self._engine = engine
        self._write = write
        self._metrics = metrics
        self._clock = clock
        self._woken = asyncio.Event()
        self._lock = asyncio.Lock()
        self._finalizing = False

    def update(self, document: Mapping[str, Any]) -> None:
        """Sets the current resource and wakes the loop."""
        self.document = document
        self._woken.set()

    def wake(self) -> None:
        """Starts the next pass now: a dependency changed."""
        self._woken.set()

    async def run(self) -> None:
        """Runs passes until cancelled or until the resource is gone."""
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
        """On deletion: one step towards the stable version alone. Returns the reason for waiting; empty when done."""
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
        """On deletion: finalizes the rollout once, after the running pass. False: to be retried."""
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
        """Runs one pass; returns the seconds until the next, None: on the next change."""
        try:
            rollout = self._read(self.document)
            if self.rollout is not None:
                refuse_change(self.rollout, rollout)
            rollout = await self._engine.resolve(rollout, self.status)
        except ValidationError as error:
            return await self._refuse(error)
        except MeshwrightError as error:
            log.warning("the requested version could not be resolved: %s", error)
            return SOON
        self.rollout = rollout
        before = self.status
        outcome = await self._engine.reconcile(rollout, before, self._clock())
        _log_failures(rollout, outcome)
        for _ in outcome.failures:
            self._metrics.record_failure(rollout)
        if not await self._store(outcome.status):
            return SOON
        self._metrics.record(rollout, before, outcome.status)
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
        except ValidationError:
            return None

    async def _refuse(self, error: ValidationError) -> float | None:
        log.warning("%s", error)
        metadata = self.document.get("metadata") or {}
        generation = int(metadata.get("generation") or 0)
        before = self.status
        if not await self._store(refused(before, error, generation, self._clock())):
            return SOON
        self._metrics.record_invalid(metadata.get("namespace") or "default", metadata.get("name") or "", self.status)
        if (before.phase, before.message) != (self.status.phase, self.status.message):
            event = Event(EventType.WARNING, self.status.reason, self.status.message)
            await self._engine.record_events(_nameless(self.document), (event,))
        # The referenced workload may become valid without a change of the resource.
        return AGAIN if "workloadRef" in (self.document.get("spec") or {}) else None

    async def _store(self, status: RolloutStatus) -> bool:
        """Writes the status if it differs; False where the write failed."""
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
    """The identity of an invalid resource, for its events."""
    metadata = document.get("metadata") or {}
    return Rollout(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace") or "default"),
        uid=str(metadata.get("uid", "")),
        service="",
        version="",
    )


def refused(status: RolloutStatus, error: ValidationError, generation: int, now: float) -> RolloutStatus:
    """The status of an invalid resource: the last valid state keeps running; the message names the fields."""
    message = "; ".join(map(str, error.violations))
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
