"""The page at `/` in a real Chromium: signing up and in, and an order through its saga, before the real services."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Error, expect

from support.browser import CHROMIUM, NO_CHROMIUM, Shopper, browser, shopper
from support.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Route

    from support.demo.gateway import Storefront

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

AWAY = (
    *("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING"),
    "the server responded with a status of 503",
)
"""What Chromium complains of while the gateway, or a service behind it, is away."""
KEPT = "() => import('/shop/session_store.js').then((store) => store.read())"
"""The session, as the browser keeps it."""


def url(store: Storefront) -> str:
    return f"http://{store.demo.address}"


async def test_what_is_wrong_with_a_sign_up_is_said_at_the_field(store: Storefront) -> None:
    async with browser(url(store)) as window:
        person = await shopper(window)
        await person.sign_out()
        await person.page.get_by_role("tab", name="Create account").click()
        form = person.page.get_by_role("tabpanel")
        await form.get_by_label("Name").fill("Ada")
        await form.get_by_label("E-mail").fill(person.email)
        await form.get_by_label("Password").fill("short")
        await form.get_by_role("button", name="Create account").click()
        await expect(form.get_by_label("Password")).to_have_accessible_description(
            "10 characters or more Must be 10 to 128 characters long"
        )
        await expect(form.get_by_label("Password")).to_be_focused()
        await form.get_by_label("Password").fill("long enough for anybody")
        await form.get_by_role("button", name="Create account").click()
        await expect(form.get_by_label("E-mail")).to_have_accessible_description("Another user has this e-mail address")
        await expect(form.get_by_label("Password")).to_have_js_property("ariaInvalid", None)


async def test_all_that_is_missing_in_a_sign_up_is_said_at_once(store: Storefront) -> None:
    async with browser(url(store)) as window:
        page = await window()
        asked = []
        page.on("request", lambda request: asked.append(request.url) if "/auth/" in request.url else None)
        await page.goto("/")
        await page.get_by_role("tab", name="Create account").click()
        form = page.get_by_role("tabpanel")
        await form.get_by_label("Name").fill("  ")
        await form.get_by_role("button", name="Create account").click()
        for label in ("Name", "E-mail"):
            await expect(form.get_by_label(label)).to_have_accessible_description("Is required")
        await expect(form.get_by_label("Password")).to_have_accessible_description("10 characters or more Is required")
        await expect(form.get_by_label("Name")).to_be_focused()
        assert asked == []


async def test_a_quantity_that_is_being_typed_outlives_news_of_money_and_stock(store: Storefront) -> None:
    async with browser(url(store)) as window:
        person = await shopper(window)
        page = person.page
        await page.get_by_role("button", name="Add TEA to the basket").click()
        quantity = page.get_by_label("TEA", exact=True)
        await quantity.focus()
        await quantity.select_text()
        await page.keyboard.type("1")
        await page.evaluate("() => document.querySelector('#gift-2000').click()")
        await expect(page.locator("#balance")).to_have_text("€20.00")
        async with page.expect_response("**/api/v3/stock"):
            await page.evaluate("() => import('/shop/goods.js').then((goods) => goods.refreshGoods())")
        await page.keyboard.type("2")
        await page.keyboard.press("Tab")
        await expect(quantity).to_have_value("12")
        await expect(page.locator("#basket .total")).to_contain_text("€30.00")
        await expect(page.locator("#basket .hint")).to_contain_text("There is not enough of: TEA")
        await page.get_by_role("button", name="Add TEA to the basket").click()
        await expect(quantity).to_have_value("13")


async def test_a_page_that_is_opened_while_the_gateway_stops_shows_why_and_waits(store: Storefront) -> None:
    stopping = '{"title": "Service Unavailable", "detail": "this instance stops"}'
    answers = [stopping] * 2

    async def answer(route: Route) -> None:
        if answers:
            await route.fulfill(status=503, content_type="application/problem+json", body=answers.pop())
        else:
            await route.continue_()

    async with browser(url(store), AWAY) as window:
        page = await window()
        await page.route("**/shop/settings.json", answer)
        await page.goto("/")
        await expect(page.locator("#waiting")).to_contain_text("This instance stops")
        await expect(page.get_by_role("heading", name="A small shop on a mesh")).to_be_visible(timeout=15000)
        await expect(page.locator("#waiting")).to_be_hidden()


async def test_a_basket_that_is_sent_again_is_one_order(store: Storefront) -> None:
    """The answers are lost on their way: pressing the button again must not make two orders."""
    lost = []

    async def lose(route: Route) -> None:
        if route.request.method == "POST" and len(lost) < 4:
            lost.append(await route.fetch())
            await route.abort()
        else:
            await route.continue_()

    async with browser(url(store), ("ERR_FAILED",)) as window:
        person = await shopper(window)
        await person.give(20)
        await person.page.route("**/api/v3/orders", lose)
        await person.order("TEA", 2)
        await expect(person.page.get_by_role("alert")).to_contain_text("does not answer", timeout=15000)
        await person.page.get_by_role("button", name="Place order").click()
        await expect(person.verdict).to_contain_text("Reserved, paid and shipped")
        assert len(lost) == 4
        await expect(person.page.locator(".order")).to_have_count(1)
        await person.page.reload()
        await expect(person.page.locator(".order")).to_have_count(1)
        await expect(person.page.locator("#balance")).to_have_text("€15.00")


async def test_signing_in_again_works_and_a_wrong_password_is_reported(store: Storefront) -> None:
    async with browser(url(store)) as window:
        person = await shopper(window, "Grace <b>Hopper</b>")
        await person.sign_out()
        await expect(person.page.get_by_role("heading", name="A small shop on a mesh")).to_be_visible()
        await person.sign_in("wrong password")
        await expect(person.page.get_by_role("alert").filter(has_text="password is wrong")).to_be_visible()
        await person.sign_in()
        await expect(person.page.get_by_role("button", name="Account of Grace <b>Hopper</b>")).to_be_visible()


async def test_an_order_is_watched_step_by_step(store: Storefront) -> None:
    gates = [store.gate(call) for call in ("Reserve", "Charge", "Ship")]
    async with browser(url(store)) as window:
        person = await shopper(window)
        await person.give(20)
        await expect(person.page.locator("#balance")).to_have_text("€20.00")
        await person.order("TEA", 2)
        for at, gate in enumerate(gates):
            await expect(person.steps.nth(at)).to_contain_text("under way")
            states = ["done"] * at + ["running"] + ["waiting"] * (2 - at)
            assert await person.states() == states
            gate.opened.set()
        await expect(person.verdict).to_contain_text("Reserved, paid and shipped")
        assert await person.states() == ["done", "done", "done"]
        await expect(person.page.locator("#balance")).to_have_text("€15.00")
        await expect(person.page.locator(".goods li", has_text="TEA")).to_contain_text("8 left")
        history = person.page.locator(".history li")
        await expect(history.first).to_contain_text("The order was placed")
        await expect(history.last).to_contain_text("OrderCompleted")


async def test_an_order_that_is_out_of_stock_is_refused_and_nothing_is_charged(store: Storefront) -> None:
    async with browser(url(store)) as window:
        person = await shopper(window)
        await person.give(500)
        await person.order("TEA", 11)
        await expect(person.verdict).to_contain_text("Rejected")
        assert await person.states() == ["refused", "waiting", "waiting"]
        await expect(person.steps.last).to_contain_text("not started")
        await expect(person.page.locator("#balance")).to_have_text("€500.00")


async def test_a_declined_payment_is_undone_before_ones_eyes(store: Storefront) -> None:
    async with browser(url(store)) as window:
        person = await shopper(window)
        await expect(person.page.locator("#balance")).to_have_text("€0.00")
        await person.page.get_by_role("button", name="Add MUG to the basket").click()
        await expect(person.page.get_by_text("the payment will be declined")).to_be_visible()
        await person.page.get_by_role("button", name="Place order").click()
        await expect(person.verdict).to_contain_text("payment declined")
        assert await person.states() == ["compensated", "refused", "waiting"]
        await expect(person.page.locator(".history")).to_contain_text("Reserve was undone")
        await expect(person.page.locator(".goods li", has_text="MUG")).to_contain_text("10 left")


async def test_a_sign_out_while_a_version_is_asked_for_ends_the_request(store: Storefront) -> None:
    asked, signed_out, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        asked.set()
        await signed_out.wait()
        with contextlib.suppress(Error):  # the page gave the request up
            await route.fulfill(response=answer)
        answered.set()

    async with browser(url(store)) as window:
        person = await shopper(window)
        page = person.page
        await page.get_by_role("link", name="API", exact=True).click()
        await expect(page.locator("#version-body")).to_contain_text("GET /api/v3/users/")
        await page.route("**/api/v4/users/*", hold)
        await page.get_by_text("v4beta", exact=True).click()
        await asyncio.wait_for(asked.wait(), 10)
        await person.sign_out()
        await expect(page.locator("#version")).to_contain_text("Sign in, and see your own account")
        signed_out.set()
        await asyncio.wait_for(answered.wait(), 10)
        await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


async def test_versions_are_switched_and_the_deprecated_one_says_so(store: Storefront) -> None:
    async with browser(url(store)) as window:
        person = await shopper(window)
        page = person.page
        await page.get_by_role("link", name="API", exact=True).click()
        await expect(page.get_by_role("radio", name="v3")).to_be_checked()
        await expect(page.locator("#version-body")).to_contain_text("GET /api/v3/users/")
        await expect(page.locator("#ending")).to_have_count(0)
        await page.get_by_text("v1deprecated", exact=True).click()
        await expect(page.locator("#ending")).to_contain_text(
            "deprecated since Jul 1, 2026, and answers until Jan 1, 2028"
        )
        await expect(page.locator("#ending")).to_contain_text("/api/v2/users/")
        await expect(page.locator("#version-body")).to_contain_text("_deprecated")
        await page.get_by_text("v4beta", exact=True).click()
        await expect(page.locator("#version-body")).to_contain_text("API-Beta: v4")
        await expect(page.locator("#version-body")).to_contain_text("your account has none")
        await expect(page.get_by_role("row", name="v2")).to_contain_text("Jan 1, 2029")


async def test_windows_share_one_session_and_renew_it_once(store: Storefront) -> None:
    """A refresh token that is used twice ends the session, so that both would be signed out."""
    async with browser(url(store)) as window:
        person = await shopper(window)
        other = await person.page.context.new_page()
        await other.goto("/")
        await expect(other.get_by_role("button", name="Account of Ada")).to_be_visible()
        spent = await person.page.evaluate(KEPT)
        renewals = []
        person.page.context.on(
            "request", lambda asked: renewals.append(asked) if "/auth/refresh" in asked.url else None
        )
        renew = "(spent) => import('/shop/session.js').then((session) => session.renew(spent))"
        fresh = await asyncio.gather(*(page.evaluate(renew, spent["access"]) for page in (person.page, other)))
        assert fresh[0] == fresh[1] != spent["access"]
        assert len(renewals) == 1
        await person.sign_out()
        await expect(other.get_by_role("heading", name="A small shop on a mesh")).to_be_visible()


async def test_a_session_is_renewed_before_its_token_ends(store: Storefront) -> None:
    store.demo.settings["GATEWAY_ACCESS_SECONDS"] = "2"
    await store.demo.stop_gateway()
    await store.demo.serve_gateway()
    async with browser(url(store)) as window:
        person = await shopper(window)
        refused = []
        person.page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)
        first = await person.page.evaluate(KEPT)
        await eventually(lambda: _renewed(person, first))
        await person.give(20)
        await expect(person.page.locator("#balance")).to_have_text("€20.00")
        assert refused == []


async def _renewed(person: Shopper, known: dict[str, str]) -> bool:
    kept = await person.page.evaluate(KEPT)
    return bool(kept["access"] != known["access"])


async def test_an_order_outlives_a_restart_of_the_gateway(store: Storefront) -> None:
    gate = store.gate("Ship")
    async with browser(url(store), AWAY) as window:
        person = await shopper(window)
        await person.give(20)
        await person.order("TEA", 2)
        await expect(person.steps.nth(2)).to_contain_text("under way")
        await store.demo.stop_gateway()
        await expect(person.page.locator(".detail .trouble")).to_contain_text("does not answer")
        gate.opened.set()
        await store.demo.serve_gateway()
        await expect(person.verdict).to_contain_text("Reserved, paid and shipped", timeout=15000)
        await expect(person.page.locator(".trouble")).to_have_count(0, timeout=15000)


async def test_a_service_that_is_away_is_told_where_it_is_missed(store: Storefront) -> None:
    async with browser(url(store), AWAY) as window:
        person = await shopper(window)
        await store.shop.proxied["inventory"].server.stop()
        await person.page.reload()
        await expect(person.page.locator("#goods .trouble")).to_be_visible(timeout=15000)
        await expect(person.page.locator("#balance")).to_have_text("€0.00")
