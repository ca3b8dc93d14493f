"""What a page owes to people who do not see it, or not well, as far as a program can tell: WCAG 2.2, level AA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Page

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
