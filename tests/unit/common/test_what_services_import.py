"""What a service imports before it has read its settings: memory that each of its replicas pays for."""

from __future__ import annotations

import subprocess
import sys

import pytest

STORED = ("gateway", "inventory", "order", "payment", "user", "userview")
"""The services that have a database."""


@pytest.mark.parametrize("service", STORED)
def test_the_driver_of_postgresql_is_imported_only_where_the_database_is_one(service: str) -> None:
    program = f"import sys, services.{service}.__main__; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
