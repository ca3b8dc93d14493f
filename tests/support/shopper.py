"""Somebody before the page, with the hands and eyes of a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

from support.people import PASSWORD, address

if TYPE_CHECKING:
    from playwright.async_api import Locator

    from support.browser import Window


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
    """Somebody who has signed up, in a window of their own."""
    made = Shopper(await window(**options))
    await made.sign_up(name)
    return made
