"""A page in a real Chromium that fails its test when it complains, or asks anybody but its own server for anything."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Page

    Window = Callable[..., Awaitable[Page]]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no Chromium here: none on PATH (see scripts/system-packages.sh)"
ARGUMENTS = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]

ASKED_FOR = "the server responded with a status of 4"
"""Chromium complains of every answer of that kind; some tests want them."""


@contextlib.asynccontextmanager
async def browsing(base: str, expected: tuple[str, ...] = (), **options: Any) -> AsyncIterator[Page]:
    """A page whose addresses are relative to `base`, with Playwright's options of a page.

    `expected`: parts of complaints that the test wants to provoke.
    """
    async with browser(base, expected) as window:
        yield await window(**options)


@contextlib.asynccontextmanager
async def browser(base: str, expected: tuple[str, ...] = (), others: tuple[str, ...] = ()) -> AsyncIterator[Window]:
    """What opens windows, each of somebody else; as `browsing`. `others`: origins that may be asked besides."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)

        def listen(page: Page) -> None:
            page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("request", lambda asked: None if asked.url.startswith(origins) else complaints.append(asked.url))

        async def window(**options: Any) -> Page:
            context = await chromium.new_context(base_url=base, **options)
            context.on("page", listen)
            return await context.new_page()

        origins = (base, base.replace("http", "ws", 1), *others)
        yield window
        await chromium.close()
    allowed = (ASKED_FOR, *expected)
    unwanted = [text for text in complaints if not any(part in text for part in allowed)]
    assert not unwanted, unwanted
