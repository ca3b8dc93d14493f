"""A page in a real Chromium, its users, and its accessibility.

A page fails its test when it logs an error, or asks a foreign server for anything. Accessibility is WCAG 2.2, level
AA, as far as a program can tell.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, async_playwright, expect

from support.demo.people import PASSWORD, address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Locator

    Window = Callable[..., Awaitable[Page]]


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no Chromium here: none on PATH (see scripts/system-packages.sh)"
ARGUMENTS = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]

FAKE_MEDIA = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=5",
    "--auto-select-desktop-capture-source=Entire screen",
    # Without it a candidate names the host by mDNS, which needs a multicast network.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
"""A camera with a clock in its picture and a microphone that beeps, given without a question."""

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
async def browser(
    base: str, expected: tuple[str, ...] = (), others: tuple[str, ...] = (), arguments: tuple[str, ...] = ()
) -> AsyncIterator[Window]:
    """What opens windows, each of another user; as `browsing`. `others`: origins that may be asked besides;
    `arguments`: further ones of Chromium's command line, as `FAKE_MEDIA`."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments])

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


SCRIPT = Path(__file__).with_name("accessible.js")


async def findings(page: Page) -> list[str]:
    """What is wrong with what the page shows now; each in one line."""
    found: list[str] = await page.evaluate(SCRIPT.read_text())
    return found


async def overflow(page: Page) -> list[str]:
    """What is wider than the window, so that one would have to scroll sideways (1.4.10)."""
    found: list[str] = await page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
        .map((node) => `${node.tagName}.${node.className}`)"""
    )
    return found


@dataclass
class Shopper:
    page: Page
    email: str = ""

    async def sign_up(self, name: str = "Ada Lovelace") -> None:
        self.email = address()
        await self.page.goto("/")
        await self.page.get_by_role("tab", name="Create account").click()
        form = self.page.get_by_role("tabpanel")
        await form.get_by_label("Name").fill(name)
        await form.get_by_label("E-mail").fill(self.email)
        await form.get_by_label("Password").fill(PASSWORD)
        await form.get_by_role("button", name="Create account").click()
        await expect(self.page.get_by_role("button", name=f"Account of {name}")).to_be_visible()

    async def sign_in(self, password: str = PASSWORD) -> None:
        form = self.page.get_by_role("tabpanel")
        await form.get_by_label("E-mail").fill(self.email)
        await form.get_by_label("Password").fill(password)
        await form.get_by_role("button", name="Sign in").click()

    async def sign_out(self) -> None:
        await self.page.get_by_role("button", name="Account of").click()
        await self.page.get_by_role("button", name="Sign out").click()

    async def give(self, euros: int) -> None:
        await self.page.get_by_role("button", name=f"Add €{euros}", exact=True).click()

    async def order(self, sku: str, quantity: int = 1) -> None:
        await self.page.get_by_role("button", name=f"Add {sku} to the basket").click()
        if quantity > 1:
            await self.page.get_by_label(sku, exact=True).fill(str(quantity))
            await self.page.get_by_label(sku, exact=True).press("Tab")
        await self.page.get_by_role("button", name="Place order").click()

    @property
    def verdict(self) -> Locator:
        return self.page.locator(".verdict")

    @property
    def steps(self) -> Locator:
        return self.page.get_by_role("list", name="Steps").get_by_role("listitem")

    async def states(self) -> list[str]:
        """Of the steps of the order that is shown."""
        found: list[str] = await self.steps.evaluate_all("(nodes) => nodes.map((node) => node.dataset.state)")
        return found


async def shopper(window: Window, name: str = "Ada Lovelace", **options: object) -> Shopper:
    """A user who has signed up, in a window of their own."""
    made = Shopper(await window(**options))
    await made.sign_up(name)
    return made
