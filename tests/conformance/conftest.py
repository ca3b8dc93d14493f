"""One process of each Consul for the whole suite; tests keep apart by names of their own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from support.consul.servers import ConsulServer, dev_consul, find_consul, real_consul

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NO_CONSUL = "no real Consul here: neither on PATH nor fetched by scripts/tools.d/consul.sh"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev_server() -> AsyncIterator[ConsulServer]:
    """The dev Consul."""
    async with dev_consul() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_server() -> AsyncIterator[ConsulServer]:
    """The real Consul, where there is one."""
    if find_consul() is None:
        pytest.skip(NO_CONSUL)
    async with real_consul() as server:
        yield server


@pytest.fixture(params=["dev", "real"])
def consul(request: pytest.FixtureRequest) -> ConsulServer:
    """Each of the two in turn."""
    server: ConsulServer = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
async def http(consul: ConsulServer) -> AsyncIterator[httpx.AsyncClient]:
    """Raw HTTP to the Consul under test."""
    async with httpx.AsyncClient(base_url=f"http://{consul.address}/v1/", timeout=30) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"svc-{uuid.uuid4().hex[:10]}"
