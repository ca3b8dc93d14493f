"""The client transaction of an INVITE: RFC 3261, section 17.1.1, with its CANCEL (9.1) and timer C (16.6).

The INVITE is repeated (timer A) until something comes back, for 32 s (timer B). A refusal is acknowledged here, hop by
hop; an acceptance by the caller. A CANCEL may only be sent once a provisional response has come, so it waits for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosipua import SipRequest

from services.voice.sip.calls.invite_server import FINAL, REFUSED
from services.voice.sip.calls.timers import Repeater, Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosipua import SipResponse

    from services.voice.sip.calls.timers import TimerValues

TRYING = 100


class InviteClient:
    """One INVITE that goes out. `on_response` gets each response once; None: there was none in time."""

    def __init__(
        self,
        invite: SipRequest,
        send: Callable[[SipRequest], None],
        on_response: Callable[[SipResponse | None], None],
        timers: TimerValues,
        *,
        reliable: bool,
    ) -> None:
        self.final: int | None = None
        """The status that ended it."""
        self._invite = invite
        self._send = send
        self._on_response = on_response
        self._timers = timers
        self._reliable = reliable
        self._ringing = False
        self._cancelled = False
        self._repeater = Repeater(timers.t1, 0.0, lambda: send(invite))
        self._cancelling = Repeater(timers.t1, timers.t2, lambda: send(self._cancel()))
        self._timeout = Timer()

    def start(self) -> None:
        self._send(self._invite)
        if not self._reliable:
            self._repeater.start()
        self._timeout.start(self._timers.timeout, self._expire)

    def receive(self, response: SipResponse) -> None:
        """Takes a response of this transaction."""
        status = response.status_code
        if response.cseq is not None and response.cseq.method == "CANCEL":
            self._cancelling.stop()
            return
        self._repeater.stop()
        if status >= REFUSED:
            self._send(self._acknowledgement(response))
        if self.final is not None:
            return
        if status >= FINAL:
            self._finish(status)
        elif not self._ringing:
            self._ringing = True
            self._timeout.start(self._timers.c, self.cancel)
            if self._cancelled:
                self._send_cancel()
        self._on_response(response)

    def cancel(self) -> None:
        """Asks the telephone to stop ringing; its final response comes all the same, or the time runs out."""
        if self.final is not None or self._cancelled:
            return
        self._cancelled = True
        if self._ringing:
            self._send_cancel()

    def close(self) -> None:
        """Stops all timers."""
        for each in (self._repeater, self._cancelling, self._timeout):
            each.stop()

    def _send_cancel(self) -> None:
        self._send(self._cancel())
        if not self._reliable:
            self._cancelling.start()
        self._timeout.start(self._timers.timeout, self._expire)

    def _expire(self) -> None:
        self._finish(408)
        self._on_response(None)

    def _finish(self, status: int) -> None:
        self.final = status
        self.close()

    def _cancel(self) -> SipRequest:
        return self._of_this_hop("CANCEL", self._invite.get_header("To") or "")

    def _acknowledgement(self, response: SipResponse) -> SipRequest:
        return self._of_this_hop("ACK", response.get_header("To") or "")

    def _of_this_hop(self, method: str, to: str) -> SipRequest:
        """A request with the INVITE's own branch (RFC 3261, 9.1 and 17.1.1.3)."""
        made = SipRequest(method=method, uri=self._invite.uri)
        made.set_header("Via", self._invite.get_header_values("Via")[0])
        number = self._invite.cseq.seq if self._invite.cseq else 0
        copied = {name: self._invite.get_header(name) or "" for name in ("From", "Call-ID")}
        for name, value in {"Max-Forwards": "70", **copied, "To": to, "CSeq": f"{number} {method}"}.items():
            made.set_header(name, value)
        for route in self._invite.get_header_values("Route"):
            made.add_header("Route", route)
        return made
