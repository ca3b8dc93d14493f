"""A real coturn takes the credentials of /api/v3/ice, and relays to nowhere that is none of a client's business."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from aioice import stun, turn

from services.gateway.realtime.ice import credentials
from support.demo.gateway import Live
from support.demo.people import sign_up
from support.demo.realtime import gateway
from support.servers.coturn import NO_COTURN, coturn, find_coturn
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.nats import NatsServer

pytestmark = pytest.mark.skipif(find_coturn() is None, reason=NO_COTURN)
SECRET = "a secret of two parties"
UNAUTHORIZED, FORBIDDEN = 401, 403


async def allocated(port: int, username: str, password: str) -> turn.TurnClientUdpProtocol:
    """A client with an allocation. Raises stun.TransactionFailed."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_datagram_endpoint(
        lambda: turn.TurnClientUdpProtocol(("127.0.0.1", port), username, password, 600, 500),
        remote_addr=("127.0.0.1", port),
    )
    try:
        await client.connect()
    except stun.TransactionError:
        client.transport.close()
        raise
    return client


async def refusal(port: int, username: str, password: str) -> int | None:
    with pytest.raises(stun.TransactionFailed) as caught:
        await allocated(port, username, password)
    return caught.value.response.error_code


async def bound(client: turn.TurnClientUdpProtocol, number: int, peer: str) -> int | None:
    """Asks for a channel to a peer; the error with which it is refused, or None."""
    try:
        await client.channel_bind(0x4000 + number, (peer, 9))
    except stun.TransactionFailed as failed:
        return failed.response.error_code
    return None


async def test_credentials_of_the_gateway_are_good_until_they_expire(tmp_path: Path, nats: NatsServer) -> None:
    async with coturn(tmp_path, SECRET) as port:
        settings = {"GATEWAY_TURN_URLS": f"turn:127.0.0.1:{port}?transport=udp", "GATEWAY_TURN_SECRET": SECRET}
        async with gateway(tmp_path, "one", Live(nats.url, [], [], settings)) as served:
            ada = await sign_up(served)
            (server,) = (await served.http.get("/api/v3/ice", headers=ada.headers)).json()["iceServers"]
        client = await allocated(port, server["username"], server["credential"])
        assert client.relayed_address
        assert client.relayed_address[0] == "127.0.0.1"
        await client.delete()

        assert await refusal(port, server["username"], "a guess") == UNAUTHORIZED
        assert await refusal(port, "ada", "a password") == UNAUTHORIZED
        assert await refusal(port, *credentials("another secret", "ada", int(time.time()) + 60)) == UNAUTHORIZED
        assert await refusal(port, *credentials(SECRET, "ada", int(time.time()) - 60)) == UNAUTHORIZED


async def test_a_relay_to_loopback_to_the_cluster_and_to_metadata_is_refused(tmp_path: Path) -> None:
    async with coturn(tmp_path, SECRET) as port:
        client = await allocated(port, *credentials(SECRET, "ada", int(time.time()) + 60))
        denied = ["127.0.0.1", "127.1.2.3", "10.96.0.1", "10.244.1.7", "172.17.0.1", "192.168.1.1", "100.64.0.1"]
        denied += ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255"]
        found = {peer: await bound(client, number, peer) for number, peer in enumerate(denied)}
        assert found == dict.fromkeys(denied, FORBIDDEN)
        assert await bound(client, 100, "203.0.113.9") is None
        await client.delete()


async def test_an_allocation_that_was_made_in_time_outlives_its_credentials(tmp_path: Path) -> None:
    async with coturn(tmp_path, SECRET) as port:
        ends = int(time.time()) + 2
        client = await allocated(port, *credentials(SECRET, "ada", ends))
        await eventually(lambda: time.time() > ends + 1.5)  # coturn compares whole seconds
        assert await refusal(port, *credentials(SECRET, "ada", ends)) == UNAUTHORIZED
        assert await bound(client, 1, "203.0.113.9") is None
        await client.delete()
