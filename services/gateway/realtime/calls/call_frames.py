"""The frames about calls that clients get, as docs/reference/webrtc.md specifies them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from services.gateway.realtime.calls.domain import Call, Participant, polite
from services.gateway.realtime.frames import frame


def call_frame(call: Call, connection: str, *, ref: str = "", token: str = "", alive_seconds: float = 0.0) -> str:
    """The call as one connection sees it. `token`: for a participant that has just joined."""
    viewer = call.of_connection(connection)
    return frame(
        "call",
        call=call.id,
        room=call.room,
        state=call.state.value,
        reason=call.reason,
        caller=call.caller,
        callee=call.callee,
        participant=viewer.id if viewer else None,
        token=token,
        participants=[_participant(each, viewer) for each in call.participants],
        refused=list(call.refused) or None,
        rung_at=_time(call.rung_at),
        accepted_at=_time(call.accepted_at),
        ended_at=_time(call.ended_at),
        alive_seconds=alive_seconds or None,
        ref=ref,
    )


def lost_frame(call: Call) -> str:
    """The call has been lost, with the bucket that held it."""
    return frame("call", call=call.id, room=call.room, state="ended", reason="lost", participants=[])


def signal_frame(kind: str, call: str, sender: str, to: str, content: dict[str, Any]) -> str:
    """A description or candidate. A candidate may be null, which `frame` would leave out."""
    head = frame("signal", kind=kind, call=call, **{"from": sender}, to=to)
    return head if not content else f"{head[:-1]},{_member(content)}"


def public(call: Call) -> tuple[object, ...]:
    """What clients see of a call: a change of something else is not sent."""
    seen = tuple((each.id, each.connection, each.away_since is None) for each in call.participants)
    return call.id, call.state, call.reason, call.refused, seen


def _participant(each: Participant, viewer: Participant | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": each.id,
        "user_id": each.user_id,
        "name": each.name,
        "present": each.away_since is None,
    }
    if viewer is not None and viewer.id != each.id:
        found["polite"] = polite(viewer, each)
    return found


def _member(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)[1:]


def _time(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
