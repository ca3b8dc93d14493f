"""The life of a process: until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


_WAITING: WeakKeyDictionary[asyncio.AbstractEventLoop, list[asyncio.Event]] = WeakKeyDictionary()
"""The events of each loop: a signal has one handler, and a process may run several servers."""

_GRPC_USERS: set[int] = set()
"""The ids of processes that this memory was in when gRPC was used: this one, and those that it was forked from."""

_LAUNCHERS = frozenset(
    {
        *("daphne", "fastapi", "flask", "granian", "gunicorn", "hypercorn", "uvicorn", "waitress-serve"),
        *("celery", "coverage", "debugpy", "django-admin", "ipython", "manage", "py.test", "pytest", "streamlit"),
        *("colab_kernel_launcher", "ipykernel_launcher", "jupyter-console"),
    }
)
"""Programs that run other code: their name says nothing about it."""
_GENERIC = frozenset(
    {"", "__init__", "__main__", "-", "-c", "-m", "app", "asgi", "main", "run", "server", "web", "wsgi"}
)

_APPLICATION_OPTIONS = frozenset({"--app", "-A"})
"""Options of Flask's and Celery's commands that take the application, with or without an attribute."""


@contextlib.contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, for as long as the context lasts. Needs a running loop.

    Several at once are all set.
    """
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    waiting = _WAITING.setdefault(loop, [])
    waiting.append(event)

    def stop() -> None:
        for each in waiting:
            each.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield event
    finally:
        waiting.remove(event)
        if not waiting:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


def program_name(arguments: Sequence[str] | None = None, folder: Path | None = None) -> str:
    """What a program is called that gives itself no name: after its script, its package, the application that a
    launcher such as uvicorn was given, or at last the folder where it was started.

    `arguments` are `sys.argv`, `folder` the working directory.
    """
    words = sys.argv if arguments is None else arguments
    script = Path(words[0] if words else "")
    name = script.parent.name if script.stem == "__main__" else script.stem
    if name not in _LAUNCHERS | _GENERIC:
        return name
    if name in _LAUNCHERS:
        for before, word in itertools.pairwise(words):
            option, is_option, value = word.partition("=")
            named = before in _APPLICATION_OPTIONS or (is_option and option in _APPLICATION_OPTIONS)
            module, _, attribute = (value if named and is_option else word).partition(":")
            names = module.removesuffix(".py").split(".")
            telling = [name for name in names if name not in _GENERIC]
            parts = [*names, attribute.partition("(")[0] or ("app" if named else "")]
            if telling and all(part.isidentifier() for part in parts):
                return telling[-1]
    return (folder or Path.cwd()).name or "client"


def note_grpc() -> None:
    """gRPC has threads in this process from now on."""
    _GRPC_USERS.add(os.getpid())


def forked_from_grpc() -> bool:
    """Whether this process was forked from one in which gRPC had threads, which are not in this one."""
    return any(process != os.getpid() for process in _GRPC_USERS)
