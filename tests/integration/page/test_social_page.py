"""Signing in at the page by way of another issuer, in a real Chromium that goes there and comes back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from support.browser import CHROMIUM, NO_CHROMIUM, Shopper, browser, findings, shopper
from support.demo.gateway import storefront
from support.demo.people import address
from support.processes import promised_port
from support.servers import oidc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.browser import Window
    from support.servers.oidc import Provider

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)

NO_STYLE = "style-src 'none'"
STYLE = "https://cdn.jsdelivr.net/"
"""Where the issuer's page would have a style sheet from; the browser is told not to ask."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oidc.provider() as made:
        yield made


@contextlib.asynccontextmanager
async def windows(folder: Path, provider: Provider) -> AsyncIterator[Window]:
    port = promised_port()
    public = f"http://127.0.0.1:{port}"
    provider.register(f"{public}/auth/social/local/callback")
    settings = provider.settings | {"GATEWAY_PUBLIC_URL": public}
    async with (
        storefront(folder, settings=settings, port=port),
        browser(public, (NO_STYLE,), others=(provider.issuer, STYLE)) as window,
    ):
        yield window


async def test_a_social_login_finds_the_same_user_the_next_time(tmp_path: Path, provider: Provider) -> None:
    email = address()
    provider.person("ada", name="Ada Lovelace", email=email, email_verified=True)
    async with windows(tmp_path, provider) as window:
        page = await window()
        await page.goto("/")
        await expect(page.get_by_role("button", name="Continue with local")).to_be_visible()
        assert await findings(page) == []
        for _ in range(2):
            await page.get_by_role("button", name="Continue with local").click()
            await oidc.consent(page, "ada")
            await expect(page.get_by_role("button", name="Account of Ada Lovelace")).to_be_visible()
            assert "code" not in page.url
            await page.reload()
            await page.get_by_role("button", name="Account of Ada Lovelace").click()
            await expect(page.locator("#account-email")).to_have_text(email)
            await page.get_by_role("button", name="Sign out").click()
            await expect(page.get_by_role("heading", name="A small shop on a mesh")).to_be_visible()


async def test_a_cancelled_social_login_is_reported_and_may_be_tried_again(tmp_path: Path, provider: Provider) -> None:
    async with windows(tmp_path, provider) as window:
        page = await window()
        await page.goto("/")
        await page.get_by_role("button", name="Continue with local").click()
        await page.get_by_role("button", name="Deny").click()
        await expect(page.get_by_text("The sign-in has failed")).to_be_visible()
        await expect(page.get_by_role("button", name="Continue with local")).to_be_visible()


async def test_a_user_adds_a_login_elsewhere_and_comes_in_by_it(tmp_path: Path, provider: Provider) -> None:
    async with windows(tmp_path, provider) as window:
        person: Shopper = await shopper(window)
        provider.person("ada", email=person.email, email_verified=True)
        await person.page.get_by_role("button", name="Account of").click()
        await person.page.get_by_role("button", name="Sign in by local").click()
        await oidc.consent(person.page, "ada")
        await expect(person.page.get_by_role("button", name="Account of Ada Lovelace")).to_be_visible()
        await person.sign_out()
        await person.page.get_by_role("button", name="Continue with local").click()
        await oidc.consent(person.page, "ada")
        await person.page.get_by_role("button", name="Account of Ada Lovelace").click()
        await expect(person.page.locator("#account-email")).to_have_text(person.email)
