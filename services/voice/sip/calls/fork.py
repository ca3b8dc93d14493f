"""One INVITE, passed on to all telephones of an account at once: RFC 3261, section 16.7.

The caller hears what rings. The first acceptance wins, and the others are cancelled. If all refuse, the best
refusal goes to the caller: a global one (6xx), or else the one of the lowest class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.voice.sip.calls.forwarding import returned
from services.voice.sip.calls.invite_server import FINAL, REFUSED
from services.voice.sip.messages import response_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosipua import SipRequest, SipResponse

    from services.voice.sip.calls.invite_client import InviteClient
    from services.voice.sip.calls.invite_server import InviteServer

GLOBAL = 600
TRYING = 100


class Fork:
    """The branches of an INVITE. `on_final` gets the status that the caller was told, once."""

    def __init__(self, request: SipRequest, server: InviteServer, on_final: Callable[[int], None]) -> None:
        self.request = request
        self.server = server
        self._on_final = on_final
        self._branches: list[InviteClient] = []
        self._refusals: list[SipResponse] = []
        self._pending = 0
        self._cancelled = False

    def add(self, branch: InviteClient) -> None:
        self._branches.append(branch)
        self._pending += 1

    def start(self) -> None:
        """Sends the INVITE to all branches; cancelled before, to none."""
        if self._cancelled:
            self.refuse(response_to(self.request, 487))
            return
        for branch in self._branches:
            branch.start()

    def take(self, response: SipResponse | None) -> None:
        """A branch's response; None: there was none in time."""
        if response is None:
            self._refused(response_to(self.request, 408))
        elif response.status_code >= REFUSED:
            self._refused(returned(response))
        elif response.status_code > TRYING:
            self._passed_on(returned(response))

    def cancel(self) -> None:
        """The caller gives up."""
        self._cancelled = True
        for branch in self._branches:
            branch.cancel()

    def refuse(self, response: SipResponse) -> None:
        """Answers the caller with a refusal."""
        self._tell(response)

    def close(self) -> None:
        for branch in self._branches:
            branch.close()

    def _passed_on(self, response: SipResponse) -> None:
        if response.status_code < FINAL:
            if not self.server.final:
                self.server.respond(response)
            return
        self._pending -= 1
        self._tell(response)
        self.cancel()

    def _refused(self, response: SipResponse) -> None:
        self._pending -= 1
        self._refusals.append(response)
        if response.status_code >= GLOBAL:
            self.cancel()
        if self._pending == 0 and not self.server.final:
            self._tell(min(self._refusals, key=_rank))

    def _tell(self, response: SipResponse) -> None:
        first = not self.server.final
        self.server.respond(response)
        if first:
            self._on_final(response.status_code)


def _rank(response: SipResponse) -> tuple[bool, int, bool]:
    """The better a refusal, the lower: global ones, then the lowest class; a busy telephone says more than a silent
    one."""
    status = response.status_code
    return status < GLOBAL, status // 100, status in {408, 487}
