"""A page in a real Chromium that fails its test when it complains, or asks anybody but its own server for anything."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no Chromium here: none on PATH (see scripts/system-packages.sh)"
ARGUMENTS = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]

ASKED_FOR = "the server responded with a status of 4"
"""Chromium complains of every answer of that kind; some tests want them."""


@contextlib.asynccontextmanager
async def browsing(base: str, **options: Any) -> AsyncIterator[Page]:
    """A page whose addresses are relative to `base`, with Playwright's options of a page."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page(base_url=base, **options)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: None if asked.url.startswith(base) else complaints.append(asked.url))
        yield page
        await browser.close()
    assert [text for text in complaints if ASKED_FOR not in text] == []
