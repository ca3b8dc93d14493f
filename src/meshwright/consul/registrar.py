"""Keeping one instance in Consul, from the moment it serves until it is told to go.

The agent offers a blocking query on a single instance (`/v1/agent/service/<id>?hash=`): it answers when the
instance changes or is gone, and it breaks when the agent dies. One such query in the air is how the registrar knows,
without polling, that it has to register again; a broken one is retried within half a second, so that an instance is
back shortly after Consul is.

Withdrawing has one difficulty: a registration that is under way. Cancelling it would only close our end of the
connection; Consul may still act on it, after the deregistration, and the instance would rise from the dead. So a
registration, once sent, is always waited for, and the deregistration follows it. From the moment that `withdraw`
is called no further registration is sent.

The agent tells ids apart by case and the catalog does not: of two instances whose ids differ by case alone, one would
vanish from the catalog without a word. The second one is not registered, and says why.

The first state of the check is the process's own word (`healthy`), not Consul's default of critical: who registers
is serving already, and a wrong word lasts one check interval at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from meshwright.consul.pacing import Backoff, Pace
from meshwright.consul.values import ConsulError, NotConnectedError
from meshwright.errors import MeshwrightError
from meshwright.model import Health, folded

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from meshwright.consul.client import Consul
    from meshwright.consul.values import AgentService, Registration
    from meshwright.model import InstanceId

log = logging.getLogger(__name__)

WAIT = 300.0
"""Seconds that the blocking query may take."""
FIRST_ATTEMPT = 2.0
"""Seconds that `start` gives the first attempt before it leaves it to the background."""
_LOST = Backoff(first=0.05, cap=0.5)
_REFUSED = Backoff(first=0.5, cap=15.0)
"""For what trying again soon does not mend: Consul says that the request, or the token, is wrong."""
_FIRST_SERVER_ERROR = 500


class DoubleIdError(MeshwrightError):
    """Another instance has an id that Consul's catalog does not tell from ours."""

    def __init__(self, ours: InstanceId, other: AgentService) -> None:
        super().__init__(
            f"is not registered: {other.id} at {other.address} is, and Consul's catalog compares ids ignoring case; "
            "give one of them another id (MESHWRIGHT_INSTANCE)"
        )
        self.instance = ours


class Registrar:
    """Registers an instance and keeps it registered. An async context manager: `start` and `withdraw`."""

    def __init__(
        self,
        consul: Consul,
        registration: Registration,
        *,
        healthy: Callable[[], bool] = lambda: True,
        patience: float = 2.0,
    ) -> None:
        """`healthy`: whether the instance serves, asked at each registration. `patience`: seconds for `withdraw`."""
        self._consul = consul
        self._registration = registration
        self._healthy = healthy
        self._patience = patience
        self._pace = Pace(burst=8, rate=4.0)
        self._keeper: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()
        self._present = False
        self._may_be_known = False
        self._gone: bool | None = None
        self._complaint = ""

    async def __aenter__(self) -> Registrar:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.withdraw()

    @property
    def registered(self) -> bool:
        """Whether Consul had the instance when it was last heard of."""
        return self._present

    async def start(self) -> None:
        """Register. Where Consul does not answer, this returns soon and registering goes on in the background."""
        if self._keeper is not None:
            raise RuntimeError("a registrar starts once")
        self._keeper = asyncio.create_task(self._keep(), name=f"registrar {self._registration.id}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ATTEMPT):
                await self._attempted.wait()

    async def withdraw(self) -> bool:
        """Take the instance out of Consul for good, within the patience. False where Consul did not confirm it:
        it forgets the instance by itself, `deregister_after` its check turned critical."""
        if self._gone is None:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.gather(self._keeper, return_exceptions=True)
            self._gone = await self._leave()
            self._present = False
        return self._gone

    async def _keep(self) -> None:
        """Round after round, for ever."""
        loop = asyncio.get_running_loop()
        failures = 0
        known = ""
        while True:
            await asyncio.sleep(self._pace.delay(loop.time()))
            delay = 0.0
            try:
                known = await self._round(known)
                failures = 0
            except MeshwrightError as error:
                failures += 1
                known = ""
                self._complain(error)
                backoff = _REFUSED if _is_refusal(error) else _LOST
                delay = backoff.delay(failures, random.random())  # noqa: S311 (jitter)
            except Exception:
                log.exception("%s is not kept registered any more", self._registration.id)
                raise
            finally:
                self._attempted.set()
            await asyncio.sleep(delay)

    async def _round(self, known: str) -> str:
        """Look at the agent's record of us, waiting for a change if we know it by its hash; register if it is not
        there, or not ours. Returns the hash to wait on."""
        if not self._may_be_known:
            await self._refuse_double()
            await self._send()
        found = await self._consul.agent_service(self._registration.id, known=known, wait=WAIT)
        if found is None or (not known and not self._is_ours(found)):
            self._present = False
            await self._send()
            return ""
        if known and found.content_hash != known and not self._is_ours(found):
            # Registering again would start a fight with what did this.
            log.warning("another process registered %s, at %s", found.id, found.address)
        self._rejoice()
        return found.content_hash

    async def _refuse_double(self) -> None:
        ours = self._registration.id
        try:
            others = await self._consul.agent_services()
        except ConsulError:
            return  # what it has against us, it says of the registration too
        for other, found in others.items():
            if other != ours and folded(other) == folded(ours):
                raise DoubleIdError(ours, found)

    async def _send(self) -> None:
        self._sending = asyncio.create_task(self._register())
        await asyncio.shield(self._sending)

    async def _register(self) -> None:
        status = Health.PASSING if self._healthy() else Health.CRITICAL
        try:
            await self._consul.register(self._registration, status=status)
        except MeshwrightError as error:
            if not (isinstance(error, NotConnectedError) or _is_refusal(error)):
                self._may_be_known = True  # no answer, or a broken one: Consul may have acted all the same
            raise
        self._may_be_known = True

    async def _leave(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._settle()
                if await self._deregister():
                    return True
        log.warning("Consul at %s did not confirm that %s is gone", self._consul.address, self._registration.id)
        return False

    async def _settle(self) -> None:
        """Wait for the registration that is under way, if one is; how it ends does not matter any more."""
        if self._sending is None:
            return
        try:
            await asyncio.wait({self._sending})
        finally:
            if not self._sending.done():
                self._sending.cancel()
            elif not self._sending.cancelled():
                self._sending.exception()

    async def _deregister(self) -> bool:
        failures = 0
        while self._may_be_known:
            try:
                await self._consul.deregister(self._registration.id)
                self._may_be_known = False
                log.info("deregistered %s", self._registration.id)
            except MeshwrightError as error:
                failures += 1
                self._complain(error)
                if _is_refusal(error):
                    return False
                await asyncio.sleep(_LOST.delay(failures, random.random()))  # noqa: S311 (jitter)
        return True

    def _is_ours(self, found: AgentService) -> bool:
        ours = self._registration
        return (found.service, found.address, found.tags, dict(found.meta)) == (
            ours.service,
            ours.address,
            tuple(ours.tags),
            dict(ours.meta),
        )

    def _rejoice(self) -> None:
        if not self._present:
            log.info("registered %s at %s in Consul", self._registration.id, self._registration.address)
        self._present = True
        self._complaint = ""

    def _complain(self, error: MeshwrightError) -> None:
        """Log a trouble once, however often it is met."""
        self._present = False
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("%s: %s", self._registration.id, error)


def _is_refusal(error: MeshwrightError) -> bool:
    return isinstance(error, DoubleIdError) or (isinstance(error, ConsulError) and error.status < _FIRST_SERVER_ERROR)
