"""The server transaction of an INVITE: RFC 3261, section 17.2.1, and RFC 6026.

A refusal is repeated (timer G) until its ACK comes, or for 32 s (timer H). An acceptance is repeated by the telephone
that sent it, and passes by here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.voice.sip.calls.timers import Repeater, Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosipua import SipResponse

    from services.voice.sip.calls.timers import TimerValues

FINAL, REFUSED = 200, 300
"""The lowest final status, and the lowest that refuses."""


class InviteServer:
    """One INVITE that came in. `send` sends a response; `on_end` is called when nothing more can come of it."""

    def __init__(
        self, send: Callable[[SipResponse], None], on_end: Callable[[], None], timers: TimerValues, *, reliable: bool
    ) -> None:
        self._send = send
        self._on_end = on_end
        self._timers = timers
        self._reliable = reliable
        self._last: SipResponse | None = None
        self._repeater = Repeater(timers.t1, timers.t2, self.repeat)
        self._end = Timer()

    @property
    def final(self) -> bool:
        """Whether the INVITE is answered."""
        return self._last is not None and self._last.status_code >= FINAL

    def repeat(self) -> None:
        """Answers a repetition of the INVITE."""
        if self._last is not None:
            self._send(self._last)

    def respond(self, response: SipResponse) -> None:
        """Sends a response. After a final one, only further acceptances are sent."""
        status = response.status_code
        if self.final:
            if FINAL <= status < REFUSED:
                self._send(response)
            return
        self._last = response
        self._send(response)
        if status >= REFUSED and not self._reliable:
            self._repeater.start()
        if status >= FINAL:
            self._end.start(self._timers.timeout, self.close)

    def acknowledged(self) -> None:
        """The ACK of a refusal has come; further ones are absorbed for a time (timer I)."""
        self._repeater.stop()
        self._end.start(0.0 if self._reliable else self._timers.t4, self.close)

    def close(self) -> None:
        """Stops all timers."""
        self._repeater.stop()
        self._end.stop()
        self._on_end()
