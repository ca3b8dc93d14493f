"""Waits for changes of source files.

The kernel's notifications (watchfiles) say when to look, a scan of times and sizes says what has changed. So nothing is
missed while the set of watched folders changes, and a temporary file of an editor that came and went is no change.
Folders are watched one by one, because a recursive watch would take in every virtual environment and `node_modules`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import awatch

from meshwright.local.watch.sources import is_source, is_source_folder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from watchfiles import Change

    from meshwright.local.watch.sources import Sources

_QUIET = 300
"""Milliseconds without a change after which those before are told together."""
_LONGEST = 3000
"""Milliseconds after which changes are told though more come."""
_LOOK = 1000
"""Milliseconds after which a new watch looks for what changed while it was set up."""


async def changes(sources: Callable[[], Sources], on_watching: Callable[[], None]) -> AsyncGenerator[set[Path], None]:
    """Yields the files that were changed, added or deleted. Raises OSError where the system's watches are used up.

    `sources` is called anew after each yield, because a change of the topology is a change of what is watched.
    """
    watched = sources()
    known = watched.files()
    told = False
    while True:
        folders = watched.folders()
        with contextlib.suppress(FileNotFoundError):  # a folder that has just been deleted: look again
            watch = awatch(
                *folders,
                recursive=False,
                watch_filter=_may_be_source,
                step=_QUIET,
                debounce=_LONGEST,
                rust_timeout=_LOOK,
                yield_on_timeout=True,
            )
            async with contextlib.aclosing(watch) as wakes:
                is_new = True
                async for wake in wakes:
                    if not (wake or is_new):
                        continue
                    is_new = False
                    if not told:
                        told = True
                        on_watching()
                    found = watched.files()
                    changed = {path for path in known.keys() | found.keys() if known.get(path) != found.get(path)}
                    known = found
                    if changed:
                        yield changed
                        before, watched = watched, sources()
                        if watched != before:
                            known = {path: known.get(path, state) for path, state in watched.files().items()}
                    if watched.folders() != folders:
                        break


def _may_be_source(_: Change, path: str) -> bool:
    name = Path(path).name
    return is_source(name) and is_source_folder(name)
