"""Logs: one JSON object a line on stderr, with the trace that the line belongs to.

`MESHWRIGHT_LOG_FORMAT=text` gives a line for people instead; it is the default where stderr is a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO

from opentelemetry import trace

from meshwright.config import env_field, load_config
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSTANTS: ContextVar[Mapping[str, str] | None] = ContextVar("meshwright_log_constants", default=None)
"""Service, version and instance in the lines that a server's tasks write: a process may run several servers."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_COLOURS = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}


class LogFormat(Enum):
    """How a line looks."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The format of log lines."""

    format: LogFormat | None = env_field("MESHWRIGHT_LOG_FORMAT", None, help="json or text; unset: text on a terminal")


def configure(
    service: str,
    version: str = "",
    instance: str = "",
    level: str = "info",
    *,
    format: LogFormat | None = None,  # noqa: A002
    stream: TextIO | None = None,
) -> None:
    """Send all logs of this process to stderr. Replaces what was configured before.

    `service`, `version` and `instance` are in each line. Raises `ValidationError` for a level that there is not.
    """
    output = stream or sys.stderr
    chosen = format or load_config(LogConfig).format or (LogFormat.TEXT if output.isatty() else LogFormat.JSON)
    handler = logging.StreamHandler(output)
    if chosen is LogFormat.JSON:
        handler.setFormatter(JsonFormatter({"service": service, "version": version, "instance": instance}))
    else:
        handler.setFormatter(TextFormatter(colour=output.isatty()))
    logging.basicConfig(level=_level(level), handlers=[handler], force=True)
    # Each access to a page, each request of a client and each statement is in the traces already.
    for chatty in ("aiohttp.access", "httpx", "httpcore", "aiosqlite", "grpc"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def configured() -> bool:
    """Whether this program has set up logging already."""
    return bool(logging.getLogger().handlers)


def _level(name: str) -> int:
    known = logging.getLevelNamesMapping()
    if name.upper() not in known:
        choices = "debug, info, warning, error, critical"
        raise ValidationError(
            "the log level", [Violation("MESHWRIGHT_LOG_LEVEL", f"expected one of {choices}, not {name!r}")]
        )
    return known[name.upper()]


def trace_ids() -> tuple[str, str]:
    """The ids of the current trace and span in hexadecimal, or two empty strings."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return "", ""
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, message, logger, trace_id, span_id, the constants, `extra`, exception."""

    def __init__(self, constants: Mapping[str, str]) -> None:
        super().__init__()
        self._constants = {name: value for name, value in constants.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        entry: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        trace_id, span_id = trace_ids()
        if trace_id:
            entry |= {"trace_id": trace_id, "span_id": span_id}
        entry |= CONSTANTS.get() or self._constants
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in entry}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, message, and the beginning of the trace id."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone()
        trace_id, _ = trace_ids()
        line = f"{time:%H:%M:%S}.{int(record.msecs):03d} {record.levelname:<8}{record.name}: {record.getMessage()}"
        if trace_id:
            line += f" [trace {trace_id}]"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        colour = _COLOURS.get(record.levelname, "") if self._colour else ""
        return f"{colour}{line}\x1b[0m" if colour else line
