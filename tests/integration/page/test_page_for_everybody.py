"""The page at `/` for people with a keyboard, a screen reader, a dark room, a telephone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from support.browser import CHROMIUM, NO_CHROMIUM, browser, findings, overflow, shopper
from support.demo.gateway import Storefront, storefront
from support.demo.people import PASSWORD, address

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

STILL = {"reduced_motion": "reduce"}


def url(store: Storefront) -> str:
    return f"http://{store.demo.address}"


async def press(page: Page, *keys: str) -> None:
    for key in keys:
        await page.keyboard.press(key)


async def test_the_checks_find_what_is_wrong(store: Storefront) -> None:
    async with browser(url(store)) as window:
        page = await window()
        await page.goto("/")
        await expect(page.locator(".goods li")).to_have_count(2)
        broken = (
            """<h6 class=small>Deep</h6><input id=main><button aria-controls=gone></button><img src="/shop/icon.svg">"""
            "<ol role=log><li>Said</li></ol>"
        )
        await page.evaluate("(html) => document.querySelector('main').insertAdjacentHTML('beforeend', html)", broken)
        await page.evaluate("() => { document.querySelector('main h6').style.color = '#aaa'; }")
        found = " | ".join(await findings(page))
        for part in (
            "h6 after h",
            "id twice: main",
            "no name: <button>",
            "leads nowhere",
            "no alt",
            "contrast 2.",
            "in no list",
        ):
            assert part in found


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_has_a_name_an_order_and_contrast(store: Storefront, scheme: str) -> None:
    async with browser(url(store)) as window:
        page = await window(color_scheme=scheme, **STILL)
        await page.goto("/")
        await expect(page.locator(".goods li")).to_have_count(2)
        assert await findings(page) == []
        person = await shopper(window, color_scheme=scheme, **STILL)
        await person.give(20)
        await person.order("TEA", 1)
        await expect(person.verdict).to_contain_text("shipped")
        await person.order("MUG", 5)
        await expect(person.verdict).to_contain_text("Rejected")
        await expect(person.page.locator(".history")).to_be_visible()
        await person.page.get_by_role("button", name="Add MUG to the basket").click()
        await person.page.get_by_role("button", name="Account of").click()
        assert await findings(person.page) == []
        await person.page.keyboard.press("Escape")
        await person.page.get_by_role("link", name="API", exact=True).click()
        await person.page.get_by_text("v1deprecated", exact=True).click()
        await expect(person.page.locator("#ending")).to_be_visible()
        assert await findings(person.page) == []


async def test_nothing_is_wider_than_a_telephone(store: Storefront) -> None:
    async with browser(url(store)) as window:
        small = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
        page = await window(**small)
        await page.goto("/")
        await expect(page.locator(".goods li")).to_have_count(2)
        assert await overflow(page) == []
        person = await shopper(window, "A name that is as long as names are where they are long", **small)
        await person.order("TEA", 11)
        await expect(person.verdict).to_contain_text("Rejected")
        assert await overflow(person.page) == []
        await person.page.get_by_role("link", name="API", exact=True).click()
        await expect(person.page.locator("#version-body .request")).to_be_visible()
        assert await overflow(person.page) == []


async def test_an_order_is_placed_by_keyboard_alone(store: Storefront) -> None:
    async with browser(url(store)) as window:
        page = await window()
        await page.goto("/")
        await expect(page.locator(".goods li")).to_have_count(2)
        await press(page, "Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await press(page, "Enter", "Tab")
        await expect(page.get_by_role("tab", name="Sign in")).to_be_focused()
        await press(page, "ArrowRight", "Tab")
        await page.keyboard.type("Ada")
        await press(page, "Tab")
        await page.keyboard.type(address())
        await press(page, "Tab")
        await page.keyboard.type(PASSWORD)
        await press(page, "Enter")
        await expect(page.locator("#balance")).to_have_text("€0.00")
        await expect(page.get_by_role("button", name="Add TEA to the basket")).to_be_visible()
        await expect(page.get_by_role("main")).to_be_focused()
        await press(page, "Tab", "Enter")
        await expect(page.locator("#balance")).to_have_text("€20.00")
        await expect(page.get_by_role("button", name="Add €20", exact=True)).to_be_focused()
        await press(page, "Tab", "Tab")
        await press(page, "Tab", "Enter")
        await press(page, "Tab", "Tab", "Tab")
        await expect(page.get_by_role("button", name="Place order")).to_be_focused()
        await press(page, "Enter")
        await expect(page.locator(".verdict")).to_contain_text("shipped")
        await expect(page.locator('.order[aria-pressed="true"]')).to_be_focused()


async def test_the_page_asks_for_nothing_from_elsewhere_and_allows_nothing_inline(store: Storefront) -> None:
    response = await store.demo.http.get("/")
    policy = response.headers["content-security-policy"]
    # A call needs these of the page itself, and no frame in it.
    assert "camera=(self), microphone=(self), display-capture=(self)" in response.headers["permissions-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert "style=" not in response.text
    for name in ("index.html", "..%2f..%2fsite.py", "none.js"):
        assert (await store.demo.http.get(f"/shop/{name}")).status_code == 404


async def test_the_last_request_leads_to_its_trace(tmp_path: Path) -> None:
    settings = {"GATEWAY_TRACES_URL": "http://traces.example:16686/"}
    async with storefront(tmp_path, settings=settings) as store, browser(url(store)) as window:
        page = await window()
        await page.goto("/")
        link = page.get_by_role("contentinfo").get_by_role("link", name=re.compile("[0-9a-f]{32}"))
        await expect(link).to_have_attribute("href", re.compile("^http://traces.example:16686/trace/[0-9a-f]{32}$"))
        await page.goto("/docs")
        operation = page.locator("details.operation").filter(has=page.get_by_text("/api/versions", exact=True))
        await operation.locator("summary").click()
        await operation.get_by_role("button", name="Send").click()
        shown = page.get_by_role("link", name=re.compile("^[0-9a-f]{32}$"))
        await expect(shown).to_have_attribute("href", re.compile("^http://traces.example:16686/trace/[0-9a-f]{32}$"))
