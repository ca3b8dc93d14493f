"""The front door: these names and no others, each where it says it is, and cheap to open."""

from __future__ import annotations

import subprocess
import sys

import pytest

import meshwright

NAMES = [
    "AsgiMiddleware",
    "MeshwrightError",
    "Server",
    "ServiceConfig",
    "ServiceError",
    "Telemetry",
    "ValidationError",
    "caller",
    "channel",
    "deadline",
    "env_field",
    "error_details",
    "load_config",
    "sync",
    "time_left",
    "without_deadline",
]
MODULES = {"sync"}
"""The names that are modules on purpose."""


def test_the_facade_is_these_names() -> None:
    assert meshwright.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_documented(name: str) -> None:
    found = getattr(meshwright, name)
    assert found.__doc__
    assert name in dir(meshwright)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chanel'"):
        meshwright.chanel  # noqa: B018


def test_importing_the_facade_loads_neither_grpc_nor_opentelemetry() -> None:
    code = (
        "import sys, meshwright, meshwright.config;"
        "print(*sorted({'grpc', 'opentelemetry', 'aiohttp'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_a_submodule_never_hides_a_name() -> None:
    code = (
        "import meshwright.client, meshwright.server, meshwright.telemetry, meshwright.testing, meshwright;"
        "kinds = {name: type(getattr(meshwright, name)).__name__ for name in meshwright.__all__};"
        "print(*(name for name, kind in kinds.items() if kind == 'module'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == MODULES


def test_what_code_without_asyncio_needs_is_these_names() -> None:
    assert meshwright.sync.__all__ == ["SyncChannel", "WsgiMiddleware", "channel"]
