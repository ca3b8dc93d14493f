"""ICE servers for clients, and the gateway's own STUN server with aioice as its client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aioice import stun

from meshwright.config import load_config
from meshwright.errors import ValidationError
from services.gateway.realtime.ice import IceConfig
from services.gateway.realtime.stun import BURST, stun_server
from support.demo.gateway import Live
from support.demo.people import reason, sign_up
from support.demo.realtime import gateway
from support.processes import promised_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.servers.nats import NatsServer


class StunClient(asyncio.DatagramProtocol):
    """Sends requests of aioice's transactions, and hands them the answers."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.transactions: dict[bytes, stun.Transaction] = {}
        self.answers = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        self.transport.sendto(bytes(message), addr)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.answers += 1
        message = stun.parse_message(data)
        if transaction := self.transactions.get(message.transaction_id):
            transaction.response_received(message, addr)

    async def asks(self, address: tuple[str, int]) -> tuple[str, int]:
        """The address that the server sees."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.add_fingerprint()
        self.transactions[request.transaction_id] = transaction = stun.Transaction(request, address, self)
        response, _ = await transaction.run()
        return response.attributes["XOR-MAPPED-ADDRESS"]


@contextlib.asynccontextmanager
async def stun_client(host: str) -> AsyncIterator[StunClient]:
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(StunClient, local_addr=(host, 0))
    try:
        yield client
    finally:
        transport.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_client_learns_its_address(host: str) -> None:
    async with stun_server(host, 0) as port, stun_client(host) as client:
        assert await client.asks((host, port)) == client.transport.get_extra_info("sockname")[:2]


async def test_a_flood_from_one_address_gets_few_answers() -> None:
    async with stun_server("127.0.0.1", 0) as port, stun_client("127.0.0.1") as client:
        for _ in range(20 * BURST):
            client.send_stun(stun.Message(stun.Method.BINDING, stun.Class.REQUEST), ("127.0.0.1", port))
        async with asyncio.timeout(15):
            # Retransmitted until the bucket has a token again, after everything before.
            await client.asks(("127.0.0.1", port))
        assert client.answers < 4 * BURST


async def test_a_port_that_is_taken_is_no_reason_not_to_start(caplog: pytest.LogCaptureFixture) -> None:
    async with stun_server("127.0.0.1", 0) as port, stun_server("127.0.0.1", port) as second:
        assert second == 0
    assert "no STUN at UDP port" in caplog.text


async def test_ice_servers_are_for_users_who_have_signed_in_and_are_not_stored(
    tmp_path: Path, nats: NatsServer
) -> None:
    port = promised_port()
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    settings = {
        "GATEWAY_STUN_PORT": str(port),
        "GATEWAY_STUN_URLS": "stun:stun.example.org:3478",
        "GATEWAY_TURN_URLS": "turn:turn.example.org:3478?transport=udp,turns:turn.example.org:5349",
        "GATEWAY_TURN_SECRET_FILE": str(secret),
        "GATEWAY_TURN_SECONDS": "120",
    }
    live = Live(nats.url, [], [], settings)
    async with gateway(tmp_path, "one", live, clock=lambda: 1_796_119_200.0) as served:
        assert reason(await served.http.get("/api/v3/ice")) == (401, "TOKEN_MISSING")
        ada = await sign_up(served)
        answer = await served.http.get("/api/v3/ice", headers=ada.headers)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        found = answer.json()
        assert found["expires_at"] == "2026-12-01T10:02:00Z"
        stuns, turns = found["iceServers"]
        assert stuns == {"urls": [f"stun:localhost:{port}", "stun:stun.example.org:3478"]}
        assert turns["urls"] == ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:5349"]
        assert turns["username"] == f"1796119320:{ada.subject}"
        secret.write_text("second\n")
        again = (await served.http.get("/api/v3/ice", headers=ada.headers)).json()
        assert again["iceServers"][1]["credential"] != turns["credential"]
        secret.unlink()
        assert reason(await served.http.get("/api/v3/ice", headers=ada.headers))[0] == 500
        async with stun_client("127.0.0.1") as client:
            assert (await client.asks(("127.0.0.1", port)))[0] == "127.0.0.1"
        document = (await served.http.get("/openapi.json")).json()
        assert "/api/v3/ice" in document["paths"]


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"GATEWAY_TURN_URLS": "turn:turn.example.org"}, "GATEWAY_TURN_SECRET"),
        ({"GATEWAY_TURN_URLS": "http://turn.example.org", "GATEWAY_TURN_SECRET": "x"}, "GATEWAY_TURN_URLS"),
        ({"GATEWAY_STUN_URLS": "turn:turn.example.org"}, "GATEWAY_STUN_URLS"),
        ({"GATEWAY_TURN_SECONDS": "1"}, "GATEWAY_TURN_SECONDS"),
        ({"GATEWAY_STUN_PORT": "70000"}, "GATEWAY_STUN_PORT"),
        ({"GATEWAY_TURN_SECRET": "x", "GATEWAY_TURN_SECRET_FILE": "/x"}, "GATEWAY_TURN_SECRET"),
    ],
)
def test_settings_that_cannot_be_are_refused(environ: dict[str, str], variable: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_config(IceConfig, environ)
    assert variable in {violation.path for violation in caught.value.violations}
