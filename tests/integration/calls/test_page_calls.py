"""Calls in the page: real Chromiums with a fake camera and microphone, a real gateway, chat and NATS."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from support.browser import CHROMIUM, FAKE_MEDIA, NO_CHROMIUM, Shopper, browser, findings, overflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from support.demo.realtime import Edge

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

NO_SHOP = ("status of 501",)
"""These gateways have no orders, and the page says so."""
REFUSED = "ERR_CONNECTION_REFUSED"
PATIENCE = 60_000
"""Milliseconds: two browsers encode video on a machine that may be busy."""
RECORD = """
  globalThis.connections = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) {
      super(...given);
      connections.push(this);
    }
  };
"""
"""Keeps the page's connections where a test finds their statistics."""
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


@contextlib.asynccontextmanager
async def users(
    edge: Edge,
    *names: str,
    arguments: tuple[str, ...] = FAKE_MEDIA,
    expected: tuple[str, ...] = (),
    **last: Any,
) -> AsyncIterator[list[Page]]:
    """The pages of users at either gateway in turn, all in the hall; `last`: Playwright's options of the last page."""
    async with contextlib.AsyncExitStack() as stack:
        pages = []
        for number, name in enumerate(names):
            address = edge.gateways[number % 2].address
            window = await stack.enter_async_context(
                browser(f"http://{address}", (*NO_SHOP, *expected), arguments=arguments)
            )
            options = last if number == len(names) - 1 else {}
            page = await window(**options)
            await page.add_init_script(RECORD)
            await Shopper(page).sign_up(name)
            pages.append(page)
        for page in pages:
            await expect(page.locator("#people-count")).to_have_text(f"{len(names)} people here", timeout=PATIENCE)
        yield pages


async def ring(page: Page, name: str) -> None:
    await page.locator("#people-count").click()
    await page.get_by_role("button", name=f"Call {name}").click()


async def plays(page: Page, name: str) -> None:
    """Pictures of that user arrive, and their sound."""
    video = page.get_by_label(f"Video of {name}")
    await expect(video).to_be_visible(timeout=PATIENCE)
    await video.evaluate(
        """async (video) => {
          const sound = async () => {
            const [track] = video.srcObject?.getAudioTracks() ?? [];
            for (const connection of connections)
              for (const stat of (await connection.getStats()).values())
                if (stat.type === "inbound-rtp" && stat.trackIdentifier === track?.id) return stat.totalAudioEnergy;
            return 0;
          };
          const [since, energy] = [video.currentTime, await sound()];
          while (!(video.videoWidth > 0 && video.currentTime > since && (await sound()) > energy))
            await new Promise((resolve) => requestAnimationFrame(resolve));
        }"""
    )


async def stands_still(page: Page, name: str) -> None:
    """No picture of that user arrives any more."""
    await expect(page.locator(f'.tile.blank video[aria-label="Video of {name}"]')).to_be_attached(timeout=PATIENCE)


async def test_two_users_call_each_other_and_see_what_it_costs(edge: Edge) -> None:
    async with users(edge, "Ada", "Grace") as (ada, grace):
        await ring(ada, "Grace")
        await expect(ada.get_by_role("heading", name="Calling Grace …")).to_be_visible()
        await expect(grace.get_by_role("alert")).to_have_text("Ada is calling.")
        await grace.get_by_role("button", name="Accept").click()
        await plays(ada, "Grace")
        await plays(grace, "Ada")
        await grace.get_by_label("Message to those in the call").fill("straight to you")
        await grace.locator(".call-talk").get_by_role("button", name="Send").click()
        await expect(ada.get_by_role("list", name="Messages in the call")).to_contain_text("Grace straight to you")
        await ada.get_by_role("button", name="Figures").click()
        figures = ada.locator("#call-figures")
        await expect(figures).to_contain_text("direct", timeout=PATIENCE)
        await expect(figures).to_contain_text("bit/s in", timeout=PATIENCE)
        await expect(figures).to_contain_text("opus", timeout=PATIENCE)
        await expect(figures).to_contain_text("passed the server: 0")
        assert await findings(ada) == []
        await ada.get_by_role("button", name="Hang up").click()
        await expect(grace.get_by_role("status").filter(has_text="The call has ended.")).to_be_visible()
        await expect(ada.locator("#call")).to_be_hidden()


async def test_microphone_camera_and_screen_are_turned_off_and_on(edge: Edge) -> None:
    async with users(edge, "Ada", "Grace") as (ada, grace):
        await ring(ada, "Grace")
        await grace.get_by_role("button", name="Without camera").click()
        await plays(grace, "Ada")
        await grace.get_by_role("button", name="Camera on").click()
        await plays(ada, "Grace")
        await ada.get_by_role("button", name="Camera off").click()
        await expect(ada.get_by_role("button", name="Camera on")).to_be_visible()
        await stands_still(grace, "Ada")
        await ada.get_by_role("button", name="Share screen").click()
        await expect(ada.get_by_role("button", name="Stop sharing")).to_be_visible()
        await plays(grace, "Ada")
        await ada.get_by_role("button", name="Mute").click()
        await expect(ada.get_by_role("button", name="Unmute")).to_have_attribute("aria-pressed", "true")


async def test_who_declines_is_named_and_who_does_not_answer_too(edge: Edge) -> None:
    async with users(edge, "Ada", "Grace") as (ada, grace):
        await ring(ada, "Grace")
        await grace.get_by_role("button", name="Decline").click()
        await expect(ada.get_by_role("status").filter(has_text="Grace declined the call.")).to_be_visible()
        await ada.locator("#call").get_by_role("button", name="Close").click()
        await ada.get_by_role("button", name="Call Grace").click()
        await expect(grace.get_by_role("alert")).to_be_visible()
        await ada.get_by_role("button", name="Hang up").click()
        await expect(grace.get_by_role("status").filter(has_text="The call was cancelled.")).to_be_visible()


async def test_three_users_each_with_each_and_one_leaves(edge: Edge) -> None:
    async with users(edge, "Ada", "Grace", "Joan") as (ada, grace, joan):
        await ada.locator("#people-count").click()
        await ada.get_by_role("button", name="Call all").click()
        for page in (grace, joan):
            await page.locator("#call-accept").click()
        for page, others in ((ada, ("Grace", "Joan")), (grace, ("Ada", "Joan")), (joan, ("Ada", "Grace"))):
            await expect(page.get_by_role("heading", name="In a call with 2 others")).to_be_visible(timeout=PATIENCE)
            for name in others:
                await plays(page, name)
        await joan.get_by_role("button", name="Hang up").click()
        await expect(ada.get_by_role("heading", name="In a call with 1 other")).to_be_visible()
        await plays(ada, "Grace")


async def test_a_gateway_that_stops_in_a_call_does_not_end_it(edge: Edge) -> None:
    async with users(edge, "Ada", "Grace", expected=(REFUSED,)) as (ada, grace):
        await ring(ada, "Grace")
        await grace.get_by_role("button", name="Accept").click()
        await plays(ada, "Grace")
        await edge.gateways[1].gateway.aclose()
        await expect(ada.get_by_text("away from the gateway; the media go on")).to_be_visible(timeout=PATIENCE)
        await plays(ada, "Grace")
        await plays(grace, "Ada")


async def test_without_a_microphone_or_camera_a_call_says_so_and_hears(edge: Edge) -> None:
    arguments = tuple(one for one in FAKE_MEDIA if "fake-ui" not in one and "fake-device" not in one)
    async with users(edge, "Ada", "Grace", arguments=arguments) as (ada, grace):
        await ring(ada, "Grace")
        await expect(ada.locator("#call-trouble")).to_contain_text("No microphone:")
        await expect(ada.locator("#call-trouble")).to_contain_text("No camera:")
        await grace.get_by_role("button", name="Accept").click()
        await expect(ada.get_by_role("heading", name="In a call with 1 other")).to_be_visible()
        await ada.get_by_label("Message to those in the call").fill("no sound here")
        await ada.get_by_label("Message to those in the call").press("Enter")
        await expect(grace.get_by_role("list", name="Messages in the call")).to_contain_text("no sound here")


async def test_a_call_fits_a_phone(edge: Edge) -> None:
    async with users(edge, "Ada", "Grace", **PHONE) as (ada, grace):
        await ring(ada, "Grace")
        await grace.get_by_role("button", name="Accept").click()
        await plays(grace, "Ada")
        await grace.get_by_role("button", name="Figures").click()
        assert await overflow(grace) == []
        assert await findings(grace) == []
