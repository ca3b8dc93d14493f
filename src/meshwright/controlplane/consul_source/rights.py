"""What the token may read: telling services that are gone from those that Consul does not show any more.

Consul filters its lists by the token's rights, in silence, so a view may be empty without being true. While the token
may read no node at all nothing is believed. A service that left the list is asked for by name, which Consul forbids
where it is only hidden; a list of instances that became empty is believed once what Consul lists was looked at again.
A change of rights wakes no blocking query and moves no index: what is hidden is looked at again after a while.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from meshwright.consul import ConsulError
from meshwright.controlplane.consul_source.reread_timer import Again
from meshwright.controlplane.consul_source.visibility import Hidden
from meshwright.errors import UnreachableError, Violation

if TYPE_CHECKING:
    from meshwright.controlplane.consul_source.changes import Changes
    from meshwright.controlplane.consul_source.reader import Reader
    from meshwright.controlplane.problems import Problems

RETRY = 0.25
"""Seconds before Consul, which refused to say what it lists, is asked again."""
RETRY_UNREADABLE = 1.0
"""Seconds before a Consul of which the token may read nothing is looked at again: no watch wakes for rights."""
_RIGHTS = "rights of the token"
_HIDDEN = "hidden services"

log = logging.getLogger(__name__)


class Rights:
    """What may be believed of the last answers, as far as the token's rights go. `cancel` at the end."""

    def __init__(self, changes: Changes, reader: Reader, problems: Problems) -> None:
        self._changes = changes
        self._reader = reader
        self._problems = problems
        self._hidden = Hidden()
        self._hidden_again = Again(RETRY_UNREADABLE, changes.read_again)

    @property
    def nothing_readable(self) -> bool:
        """Whether nothing that Consul says can be true."""
        return bool(self._changes.tracker.unreadable)

    def cancel(self) -> None:
        """Look at nothing again."""
        self._hidden_again.cancel()

    async def wait(self) -> None:
        """A while, with a look at the end of it; what is in force stays meanwhile."""
        self._problems.add(_RIGHTS, Violation(_RIGHTS, self._changes.tracker.unreadable))
        self._problems.report()
        await asyncio.sleep(RETRY_UNREADABLE)
        try:
            await self._changes.look_around()
        except (ConsulError, UnreachableError) as error:
            log.debug("looking whether the token may read again failed: %s", error)
        if not self.nothing_readable:
            self._problems.clear(_RIGHTS)
            self._changes.read_all()
        self._changes.wake.set()

    async def knows_who_went(self) -> bool:
        """Tell services that are gone from those that the token may not read any more; False where Consul refuses to
        say. What it lists is looked at afterwards: the token may have its rights again. Raises `UnreachableError`."""
        gone = self._reader.chains.keys() - self._changes.tracker.names
        if not gone:
            return True
        try:
            await self._reader.look_for(gone)
            await self._changes.look_around()
        except ConsulError as error:
            await self._cannot_tell(error)
            return False
        if self.nothing_readable:
            self._changes.read_all()
        return not self.nothing_readable

    async def believes_empty(self) -> bool:
        """Lists became empty. Look at what Consul lists, and keep those that the token may not read any more; False
        where nothing that was read can be believed. Raises `UnreachableError`."""
        try:
            await self._changes.look_around()
            if not self.nothing_readable:
                await self._reader.keep_hidden(self._changes.tracker.services.keys())
                return True
        except ConsulError as error:
            await self._cannot_tell(error)
        self._reader.take_back()
        self._changes.read_all()
        return False

    def note_hidden(self) -> None:
        """Say of which services no instance is shown, and look at them again after a while."""
        hidden = self._reader.hidden(self._changes.tracker.services.keys())
        self._problems.add(_HIDDEN, *self._hidden.see(hidden, asyncio.get_running_loop().time()))
        if hidden:
            self._hidden_again.note(hidden)

    async def _cannot_tell(self, error: ConsulError) -> None:
        log.debug("looking whether the token may still read failed: %s", error)
        await asyncio.sleep(RETRY)
        self._changes.read_all()
