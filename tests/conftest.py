"""Fixtures that tests of every kind share."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from meshwright import free_ports
from support.consul.credentials import authority
from support.consul.servers import ConsulServer, dev_consul, find_consul, real_consul
from support.servers.postgres import NO_POSTGRES, Cluster, cluster, find_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


# Property tests judge what is computed, never how long it took: a machine that runs other work is no failure.
settings.register_profile(
    "meshwright",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("meshwright")


def pytest_configure() -> None:
    """Gives each of pytest-xdist's workers a range of ports of its own to look for free ones."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        stretch = (free_ports.LAST + 1 - free_ports.FIRST) // count
        free_ports.FIRST += int(worker.removeprefix("gw")) * stretch
        free_ports.LAST = free_ports.FIRST + stretch - 1


NO_CONSUL = "no real Consul here: neither on PATH nor fetched by scripts/tools.d/consul.sh"


@pytest.fixture(params=["dev", "real"])
async def any_consul(request: pytest.FixtureRequest) -> AsyncIterator[ConsulServer]:
    """A Consul of the test's own: once the dev Consul, once the real one."""
    if request.param == "real" and find_consul() is None:
        pytest.skip(NO_CONSUL)
    async with real_consul() if request.param == "real" else dev_consul() as server:
        yield server


@pytest.fixture
async def only_real_consul() -> AsyncIterator[ConsulServer]:
    """A real Consul of the test's own, for what the dev Consul need not do."""
    if find_consul() is None:
        pytest.skip(NO_CONSUL)
    async with real_consul() as server:
        yield server


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of `support.consul.credentials`."""
    folder = tmp_path_factory.mktemp("pki")
    authority(folder)
    return folder


@contextlib.contextmanager
def _postgres() -> Iterator[Cluster]:
    programs = find_postgres()
    if programs is None:
        pytest.skip(NO_POSTGRES)
    with cluster(programs) as made:
        yield made


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One PostgreSQL for all tests; each gets a database of its own."""
    with _postgres() as made:
        yield made


@pytest.fixture
def own_postgres() -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, which it may stop."""
    with _postgres() as made:
        yield made
        with contextlib.suppress(RuntimeError):
            made.start()  # where a test that failed has left it stopped
