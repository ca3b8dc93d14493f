"""The page of the gateway's API in a real Chromium: reading, trying, keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from support.browser import CHROMIUM, NO_CHROMIUM, browsing
from support.demo.people import sign_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from support.demo.gateway import Demo

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)


@pytest.fixture
async def page(served: Demo) -> AsyncIterator[Page]:
    async with browsing(f"http://{served.address}") as opened:
        await opened.goto("/docs")
        await expect(opened.get_by_role("heading", name="Version 3")).to_be_visible()
        yield opened


async def test_every_operation_is_there_with_its_parameters_and_answers(page: Page, served: Demo) -> None:
    described = (await served.http.get("/openapi.json")).json()["paths"].values()
    operations = sum(len(methods) for methods in described)
    await expect(page.locator("details.operation")).to_have_count(operations)
    await expect(page.locator("nav a")).to_have_count(operations)
    await page.locator("nav summary", has_text=re.compile(r"^Version 1 ")).click()
    await page.locator('nav a[href="#create_user"]').click()
    operation = page.locator("#create_user")
    for text in ("X-Request-Timeout", "unique without regard to case", "Problem (application/problem+json)"):
        await expect(operation.get_by_text(text).first).to_be_visible()


async def test_versions_are_apart_and_say_how_long_they_stay(page: Page) -> None:
    titles = await page.locator("main h2").all_text_contents()
    assert titles[:2] == ["Version 3current", "Any version"]
    assert "Version 1deprecated" in titles
    await expect(page.locator("#section-v1")).to_contain_text("until 2028-01-01")
    await expect(page.locator("#section-v3 h3", has_text="calculator")).to_have_count(1)


async def test_an_operation_is_found_by_words(page: Page) -> None:
    await page.get_by_label("Find an operation").fill("patch v2")
    await expect(page.locator("details.operation:visible")).to_have_count(1)
    await expect(page.get_by_role("status")).to_have_text("1 operation")
    await page.get_by_role("link", name="Update User").click()
    await expect(page.locator("#update_user_v2 h4").first).to_be_visible()
    await expect(page.get_by_label("Find an operation")).to_have_value("")


async def test_a_token_goes_along(page: Page, served: Demo) -> None:
    person = await sign_up(served)
    await page.goto("/docs#get_user_v4")
    operation = page.locator("#get_user_v4")
    await operation.get_by_label("user_id (path)").fill(person.subject)
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator("pre[aria-live]")).to_contain_text("TOKEN_MISSING")
    await page.get_by_label("Access token").fill(person.tokens["access_token"])
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator("pre[aria-live]")).to_contain_text("NO_TENANT")


async def test_an_operation_can_be_tried(page: Page) -> None:
    await page.goto("/docs#add")
    operation = page.locator("#add")
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator("pre[aria-live]")).to_contain_text('"value": 3')
    await operation.get_by_label("body (JSON)").fill('{"a": 1}')
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator("pre[aria-live]")).to_contain_text("b is required")


async def test_a_path_and_a_query_are_filled_in(page: Page, served: Demo) -> None:
    user_id = await served.user_id(name="Grace")
    await page.goto("/docs#get_user")
    operation = page.locator("#get_user")
    await operation.get_by_label("user_id (path)").fill(user_id)
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator("pre[aria-live]")).to_contain_text(
        re.compile(r'etag: "[\w.]+".*"name": "Grace"', re.DOTALL)
    )


async def test_a_stream_is_shown(page: Page) -> None:
    await page.goto("/docs#primes")
    operation = page.locator("#primes")
    await operation.get_by_label("limit (query)").fill("7")
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator("pre[aria-live]")).to_contain_text('{"value":7}')


async def test_it_works_by_keyboard_alone(page: Page) -> None:
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the operations")).to_be_focused()
    await page.locator("#ready > summary").focus()
    await page.keyboard.press("Enter")
    button = page.locator("#ready").get_by_role("button", name="Send")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#ready pre[aria-live]")).to_contain_text('"status": "ready"')
