"""The page at `/` with the whole demo behind it: people who talk, buy and watch, each in a window of a Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.async_api import expect

from support.browser import CHROMIUM, NO_CHROMIUM, Shopper, browser, findings, overflow, shopper
from support.demo.up import first_answer, starting
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Locator, Page

    from support.demo.up import DemoUp

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

AWAY = (
    *("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING"),
    *("the server responded with a status of 503", "WebSocket connection to"),
)
"""What Chromium complains of while the gateway is away."""
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
SOON = 30_000
"""Milliseconds: two processors run a dozen services and a browser."""


def said(page: Page) -> Locator:
    """What was said and is stored, of the room that is shown."""
    return page.locator("#log .said:not(.waiting):not(.refused) .text")


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message to").fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()


async def ready(demo: DemoUp) -> None:
    async with httpx.AsyncClient() as client:
        await first_answer(demo, client)

        async def whole() -> bool:
            return (await client.get(f"{demo.url('gateway')}/api/v3/stock")).status_code == 200

        await eventually(whole, timeout=60)


async def met(window, *names: str, **options) -> list[Shopper]:
    """People with a live connection, each in a window of their own."""
    people = [await shopper(window, name, **options) for name in names]
    for person in people:
        await expect(person.page.locator("#link")).to_have_text("Live", timeout=SOON)
    return people


async def test_people_talk_buy_and_watch(tmp_path: Path) -> None:
    async with starting(tmp_path) as demo:
        await ready(demo)
        async with browser(demo.url("gateway")) as window:
            ada, bob = await met(window, "Ada Lovelace", "Bob Ross")
            await _talk(ada.page, bob.page)
            await _buy(ada)
            await _watch(bob.page)
            await _a_visitor_on_a_phone(window, demo)


async def _talk(ada: Page, bob: Page) -> None:
    await expect(ada.locator("#people-count")).to_have_text("2 people here", timeout=SOON)
    await say(ada, "Is <b>anybody</b> here?")
    await expect(said(bob)).to_have_text(["Is <b>anybody</b> here?"], timeout=SOON)
    await expect(bob.locator("#log .who").first).to_contain_text("Ada Lovelace")
    await say(bob, "I am.")
    for page in (ada, bob):
        await expect(said(page)).to_have_text(["Is <b>anybody</b> here?", "I am."], timeout=SOON)
    await bob.get_by_label("Room").fill("elsewhere")
    await bob.get_by_label("Room").press("Enter")
    await expect(ada.locator("#people-count")).to_have_text("1 person here", timeout=SOON)
    await say(bob, "Nobody hears this.")
    await expect(said(bob)).to_have_text(["Nobody hears this."], timeout=SOON)
    await bob.get_by_label("Room").fill("hall")
    await bob.get_by_label("Room").press("Enter")
    await expect(said(bob)).to_have_text(["Is <b>anybody</b> here?", "I am."], timeout=SOON)
    assert await said(ada).count() == 2


async def _buy(person: Shopper) -> None:
    bell = person.page.get_by_role("button", name="Notifications")
    await person.give(20)
    await person.order("Earl Grey, 100 g", 2)
    await expect(person.verdict).to_contain_text("Reserved, paid and shipped", timeout=SOON)
    await expect(bell).to_have_accessible_name("Notifications, 2 new", timeout=SOON)
    news = person.page.locator("#news-body li")
    await bell.click()
    await expect(news).to_have_count(2)
    await expect(news.first).to_contain_text("Order completed")
    await expect(news.last).to_contain_text("Order placed")
    assert await findings(person.page) == []
    await person.page.reload()
    await expect(person.page.locator("#link")).to_have_text("Live", timeout=SOON)
    await bell.click()
    await expect(news).to_have_count(2)
    await person.page.keyboard.press("Escape")


async def _watch(page: Page) -> None:
    await page.get_by_role("link", name="Live", exact=True).click()
    await expect(page.locator("#feed-list li").first).to_contain_text("completed", timeout=SOON)
    await expect(page.locator("#feed-list li").last).to_contain_text("placed")
    await expect(page.get_by_role("img", name="Orders placed")).to_be_visible(timeout=SOON)
    await page.get_by_text("As a table").click()
    rows = page.locator("#chart-values tbody tr")
    # One of the seconds is that in which an order was placed.
    await eventually(lambda: _any_placed(rows), timeout=SOON / 1000)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert await findings(page) == []


async def _any_placed(rows: Locator) -> bool:
    texts = await rows.all_inner_texts()
    return any(text.split("\t")[1] not in {"0", ""} for text in texts)


async def _a_visitor_on_a_phone(window, demo: DemoUp) -> None:
    (eve,) = await met(window, "Eve", **PHONE)
    for name in ("Shop", "Chat", "Live", "API"):
        await eve.page.get_by_role("link", name=name).first.click()
        await expect(eve.page.locator("body")).to_have_attribute("data-view", name.lower())
        assert await overflow(eve.page) == [], name
        # There is no room for the chat beside anything else.
        await expect(eve.page.locator("#talk")).to_be_visible(visible=name == "Chat")
        assert await findings(eve.page) == [], name


async def test_what_is_said_while_the_gateway_dies_is_said_once(tmp_path: Path) -> None:
    async with starting(tmp_path) as demo:
        await ready(demo)
        async with browser(demo.url("gateway"), AWAY) as window:
            ada, bob = await met(window, "Ada Lovelace", "Bob Ross")
            await say(ada.page, "one")
            await expect(said(bob.page)).to_have_text(["one"], timeout=SOON)
            await demo.do("kill", "gateway-1")
            await expect(ada.page.locator("#link")).to_contain_text("necting", timeout=SOON)
            await say(ada.page, "two")
            await say(ada.page, "three")
            await demo.do("kill", "chat-1")
            for page in (ada.page, bob.page):
                await expect(said(page)).to_have_text(["one", "two", "three"], timeout=2 * SOON)
                await expect(page.locator("#link")).to_have_text("Live")
            await expect(ada.page.locator("#log .waiting")).to_have_count(0)
            await demo.do("kill", "gateway-1")
            await expect(ada.page.locator("#link")).to_contain_text("necting", timeout=SOON)
            await say(ada.page, "four")
            await ada.page.get_by_label("Room").fill("elsewhere")
            await ada.page.get_by_label("Room").press("Enter")
            await expect(ada.page.locator("#toasts")).to_contain_text("1 message to hall may not have arrived")
