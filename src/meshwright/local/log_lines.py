"""Formats log lines: the runtime's JSON is parsed, other lines are unchanged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_QUIET = frozenset({"time", "level", "message", "logger", "trace_id", "span_id", "service", "version", "instance"})
_BLOCKS = ("exception", "stack")


@dataclass(frozen=True, slots=True)
class LogLine:
    """The fields of a line. For a line that is not JSON only `message` is set."""

    message: str
    time: str = ""
    """`09:30:15.123`, in local time."""
    level: str = ""
    trace: str = ""
    """The trace id."""
    extra: str = ""
    """`key=value` of the other fields."""
    block: str = ""
    """A stack trace, several lines."""

    def __str__(self) -> str:
        trace = f"trace={self.trace}" if self.trace else ""
        level = f"{self.level.upper():<7}" if self.level else ""
        line = " ".join(part for part in (self.time, level, self.message, self.extra, trace) if part)
        return f"{line}\n{self.block}" if self.block else line


def parse(text: str) -> LogLine:
    """Parses a line. Never fails; the result is printable."""
    text = text.rstrip("\r\n")
    if not text.startswith("{"):
        return LogLine(text)
    try:
        entry: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return LogLine(text)
    if not isinstance(entry.get("message"), str):
        return LogLine(text)
    extra = [f"{key}={_shown(value)}" for key, value in entry.items() if key not in _QUIET and key not in _BLOCKS]
    return LogLine(
        message=_text(entry["message"]),
        time=_clock(_text(entry.get("time", ""))),
        level=_text(entry.get("level", "")).lower(),
        trace=_text(entry.get("trace_id", "")),
        extra=_text(" ".join(extra)),
        block="\n".join(_text(entry[key]).rstrip() for key in _BLOCKS if entry.get(key)),
    )


def _text(value: object) -> str:
    """A value as printable text: JSON can contain half of a surrogate pair."""
    return str(value).encode(errors="replace").decode()


def _clock(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError):
        return text


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
