from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.mesh.mesh import Mesh, mesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.consul.servers import ConsulServer


@pytest.fixture
async def a_mesh(any_consul: ConsulServer, tmp_path: Path) -> AsyncIterator[Mesh]:
    """One control plane on the dev Consul and on the real Consul alike."""
    async with mesh(any_consul, tmp_path) as built:
        yield built
