"""What is advised where a port is taken: another one, or what runs there."""

from __future__ import annotations

import socket

import pytest

from meshwright.errors import ValidationError
from meshwright.local.planner import port_check


@pytest.mark.parametrize(("name", "used"), [("otlp-grpc", True), ("traces", False), ("cart", False)])
def test_a_collector_that_has_the_port_may_be_used(name: str, used: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(ValidationError) as caught:
            port_check.check({name: port}, {})
    assert f"use --port {name}=" in str(caught.value)
    advice = f", or with OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port} the collector that is there"
    assert str(caught.value).endswith(advice) is used
