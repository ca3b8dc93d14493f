"""A control plane fed by the test, and a bare gRPC client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.xds_translation.translated import Client, ControlPlane, client, control_plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with control_plane() as plane:
        yield plane
        assert plane.nacks() == []


@pytest.fixture
async def caller(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Client]:
    async with client(plane, tmp_path) as caller:
        yield caller
        assert plane.nacks() == []
