"""Checks that a plan's ports are free; names the processes that use the others."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import psutil

from meshwright import free_ports
from meshwright.errors import ValidationError, Violation
from meshwright.local.topology.spec import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 60


def check(wanted: Mapping[str, int], hosts: Mapping[str, str]) -> None:
    """Raises `ValidationError` with every port in use, the process that uses it, and how to choose another one.

    `hosts`: the hosts on which they are bound, if not on loopback.
    """
    problems = []
    used = set(wanted.values())
    for name, port in wanted.items():
        host = hosts.get(name, HOST)
        if not free_ports.is_free(port, host):
            advice = _advice(name, _another(port, used, host)) + _or_used(name, port)
            problems.append(Violation(f"port {port} ({name})", f"is taken{_by(port)}; {advice}"))
    if problems:
        raise ValidationError("the choice of ports", problems)


def _advice(name: str, other: int | None) -> str:
    return f"use --port {name}={other}" if other else f"choose another one with --port {name}=NUMBER"


def _or_used(name: str, port: int) -> str:
    """The alternative for a running collector, such as a Jaeger."""
    if name != "otlp-grpc":
        return ""
    return f", or with OTEL_EXPORTER_OTLP_ENDPOINT=http://{HOST}:{port} the collector that is there"


def _by(port: int) -> str:
    try:
        holders = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ]
        process = next((psutil.Process(pid) for pid in holders if pid), None)
        command = shlex.join(process.cmdline()) if process else ""
    except psutil.Error:
        return ""
    if process is None:
        return " by a process of another user"
    return f" by pid {process.pid}: {command if len(command) <= _SHOWN else command[: _SHOWN - 3] + '...'}"


def _another(port: int, used: set[int], host: str) -> int | None:
    """The next free port that is not in `used`, to which it is added: each name gets another suggestion."""
    for other in range(port + 1, min(port + 1000, 65536)):
        if other not in used and free_ports.is_free(other, host):
            used.add(other)
            return other
    return None
