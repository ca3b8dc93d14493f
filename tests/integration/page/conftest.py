"""The gateway with the shop behind it, as the page at `/` meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.demo.gateway import Storefront, storefront

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Storefront]:
    """The gateway with the shop behind it."""
    async with storefront(tmp_path) as running:
        yield running
