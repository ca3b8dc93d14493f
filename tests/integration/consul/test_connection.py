"""How the client reaches Consul: addresses, credentials, TLS, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import socket
import ssl
import uuid
from dataclasses import replace

import pytest
from aiohttp import web

from meshwright.config import ConsulConfig
from meshwright.consul import Blocking, Consul, ConsulError, NotConnectedError, Registration
from meshwright.errors import UnreachableError, ValidationError
from meshwright.http import serving
from meshwright.model import Address, InstanceId, ServiceName
from support.consul.credentials import needs_openssl
from support.consul.servers import find_consul, real_consul
from support.processes import promised_port
from support.waiting import eventually

needs_consul = pytest.mark.skipif(find_consul() is None, reason="no real Consul here")


class Recorder:
    """A server that answers like Consul's `/v1/status/leader`, or as it is told, and keeps the requests."""

    def __init__(self) -> None:
        self.requests = []
        self.answer = lambda: web.json_response("127.0.0.1:8300")

    def app(self) -> web.Application:
        async def handle(request: web.Request) -> web.Response:
            self.requests.append(request)
            answer = self.answer()
            return await answer if asyncio.iscoroutine(answer) else answer

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        return app


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
async def fake(recorder):
    """The address of a recorder."""
    async with serving(recorder.app(), "127.0.0.1", 0, grace=0.1) as address:
        yield str(address)


async def leader(config: ConsulConfig) -> str:
    async with Consul(config) as consul:
        return await consul.leader()


async def test_an_address_may_have_a_scheme_and_a_path_prefix(recorder, fake):
    for address, path in [
        (fake, "/v1/status/leader"),
        (f"http://{fake}", "/v1/status/leader"),
        (f"HTTP://{fake}/", "/v1/status/leader"),
        (f"http://{fake}/behind/a/proxy/", "/behind/a/proxy/v1/status/leader"),
    ]:
        assert await leader(ConsulConfig(address=address)) == "127.0.0.1:8300"
        assert recorder.requests[-1].path == path


async def test_a_unix_socket_is_an_address(recorder, tmp_path):
    path = tmp_path / "consul.sock"
    runner = web.AppRunner(recorder.app())
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    assert await leader(ConsulConfig(address=f"unix://{path}")) == "127.0.0.1:8300"
    await runner.cleanup()
    with pytest.raises(NotConnectedError, match=f"unix://{path}"):
        await leader(ConsulConfig(address=f"unix://{path}"))


@pytest.mark.parametrize("address", ["ftp://consul:8500", "", "http://", "consul:http", "consul:99999", ":"])
def test_an_address_that_is_none_is_refused_with_its_variable(address):
    with pytest.raises(ValidationError, match="CONSUL_HTTP_ADDR: expected"):
        Consul(ConsulConfig(address=address))


async def test_an_address_that_is_only_a_port_is_this_machine(recorder, fake):
    port = fake.rpartition(":")[2]
    for address in (f":{port}", f"http://:{port}", f":{port}/prefix"):
        assert await leader(ConsulConfig(address=address)) == "127.0.0.1:8300"


async def test_the_token_travels_in_consuls_header(recorder, fake):
    await leader(ConsulConfig(address=fake))
    assert "X-Consul-Token" not in recorder.requests[-1].headers
    await leader(ConsulConfig(address=fake, token="secret"))
    assert recorder.requests[-1].headers["X-Consul-Token"] == "secret"


async def test_a_token_file_wins_over_the_token_and_is_read_again_when_it_changes(recorder, fake, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    async with Consul(ConsulConfig(address=fake, token="other", token_file=file)) as consul:
        await consul.leader()
        assert recorder.requests[-1].headers["X-Consul-Token"] == "first"
        file.write_text("the second\n")
        await consul.leader()
        assert recorder.requests[-1].headers["X-Consul-Token"] == "the second"
        file.unlink()
        await consul.leader()
        assert recorder.requests[-1].headers["X-Consul-Token"] == "the second"


async def test_a_token_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValidationError, match=r"CONSUL_HTTP_TOKEN_FILE: cannot read .*absent: No such file"):
        Consul(ConsulConfig(token_file=tmp_path / "absent"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"two\nlines", "\u00e9".encode()])
async def test_a_token_file_that_holds_no_token_is_named_and_never_takes_the_place_of_one(
    recorder, fake, tmp_path, content
):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ValidationError, match=r"CONSUL_HTTP_TOKEN_FILE: cannot read .*token: expected one line"):
        Consul(ConsulConfig(token_file=file))
    file.write_text("good")
    async with Consul(ConsulConfig(address=fake, token_file=file)) as consul:
        file.write_bytes(content)
        await consul.leader()
    assert recorder.requests[-1].headers["X-Consul-Token"] == "good"


@pytest.mark.parametrize("token", ["two\nlines", "\u00e9", "a\0"])
async def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(ValidationError, match=r"CONSUL_HTTP_TOKEN: expected printable ASCII"):
        Consul(ConsulConfig(token=token))


@pytest.mark.parametrize("address", ["a..b:80", "[::1", "[zz]:80", "[::1]]:80", "ho st:80", "x" * 70 + ":80"])
async def test_an_address_that_is_none_is_refused_before_the_first_request(address):
    with pytest.raises(ValidationError, match=r"CONSUL_HTTP_ADDR: expected host:port"):
        Consul(ConsulConfig(address=address))


async def test_basic_authentication_is_sent(recorder, fake):
    await leader(ConsulConfig(address=fake, auth="ada:love:lace"))
    expected = base64.b64encode(b"ada:love:lace").decode()
    assert recorder.requests[-1].headers["Authorization"] == f"Basic {expected}"


async def test_an_unreachable_consul_is_named_with_its_address_and_the_request() -> None:
    address = f"127.0.0.1:{promised_port()}"
    with pytest.raises(NotConnectedError) as caught:
        await leader(ConsulConfig(address=address))
    assert str(caught.value) == (
        f"Consul at http://{address} (CONSUL_HTTP_ADDR): connection refused, asked for GET /v1/status/leader"
    )


async def test_a_host_that_does_not_resolve_is_named() -> None:
    with pytest.raises(
        UnreachableError, match=r"^Consul at http://no\.such\.host\.invalid:8500 \(CONSUL_HTTP_ADDR\): "
    ):
        await leader(ConsulConfig(address="no.such.host.invalid:8500"))


async def test_tls_towards_a_server_that_speaks_none_is_said(fake):
    with pytest.raises(NotConnectedError, match="no TLS with it"):
        await leader(ConsulConfig(address=f"https://{fake}"))


async def test_a_consul_that_accepts_and_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr("meshwright.consul.transport.SHORT_TIMEOUT", 0.2)
    monkeypatch.setattr("meshwright.consul.transport.BLOCKING_MARGIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no answer in time") as caught:
            await leader(ConsulConfig(address=address))
        assert not isinstance(caught.value, NotConnectedError)
        async with Consul(ConsulConfig(address=address)) as consul:
            with pytest.raises(UnreachableError, match="no answer in time"):
                await consul.services(Blocking(index=1, wait=0.01))


@pytest.mark.parametrize("body", ["<html>a web server</html>", "[1, 2]", "null"])
async def test_an_answer_that_consul_would_never_give_is_shown(recorder, fake, body):
    recorder.answer = lambda: web.Response(text=body)
    async with Consul(ConsulConfig(address=fake)) as consul:
        with pytest.raises(ConsulError, match="expected ") as caught:
            await consul.services()
    assert body in str(caught.value)
    assert "GET /v1/catalog/services" in str(caught.value)


async def test_an_error_carries_status_body_and_request(recorder, fake):
    recorder.answer = lambda: web.Response(text="Permission denied", status=403)
    with pytest.raises(ConsulError) as caught:
        await leader(ConsulConfig(address=fake))
    assert (caught.value.status, caught.value.body) == (403, "Permission denied")
    assert str(caught.value) == "Consul answered 403 to GET /v1/status/leader: Permission denied"


@pytest.mark.parametrize(("header", "index"), [("0", 1), ("7", 7), ("nonsense", 1), ("-3", 1), (None, 1)])
async def test_an_index_that_would_make_a_busy_loop_counts_as_one(recorder, fake, header, index):
    headers = {} if header is None else {"X-Consul-Index": header}
    recorder.answer = lambda: web.json_response({}, headers=headers)
    async with Consul(ConsulConfig(address=fake)) as consul:
        assert (await consul.services()).index == index


async def test_a_blocking_query_asks_in_durations_that_go_reads(recorder, fake):
    recorder.answer = lambda: web.json_response({})
    async with Consul(ConsulConfig(address=fake)) as consul:
        await consul.services(Blocking(index=0, wait=60))
        assert dict(recorder.requests[-1].query) == {}
        await consul.services(Blocking(index=12, wait=1.5))
        assert dict(recorder.requests[-1].query) == {"index": "12", "wait": "1.5s"}


async def test_a_client_outside_its_context_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with Consul"):
        await Consul(ConsulConfig()).leader()


async def test_a_connection_that_consul_closed_in_between_does_no_harm(any_consul):
    async with Consul(any_consul.config) as consul:
        await consul.leader()
        await any_consul.restart()
        assert await consul.leader()


@needs_consul
async def test_a_real_consul_with_acls_lets_in_only_the_token() -> None:
    token = str(uuid.uuid4())
    async with real_consul(token=token) as server:
        registration = Registration(InstanceId("a-1"), ServiceName("a"), Address("127.0.0.1", 1), grpc_check=None)
        async with Consul(server.config) as consul:
            await consul.register(registration)
            assert await consul.agent_service(registration.id)
        async with Consul(replace(server.config, token=None)) as stranger:
            with pytest.raises(ConsulError, match="Permission denied") as caught:
                await stranger.register(registration)
            assert caught.value.status == 403


# TLS


@contextlib.asynccontextmanager
async def tls_server(recorder, pki, *, client_certificate: bool = False):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    if client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki / "ca.pem")
    runner = web.AppRunner(recorder.app())
    await runner.setup()
    port = promised_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@needs_openssl
async def test_tls_checks_the_server_against_the_authority_and_the_name(recorder, pki):
    async with tls_server(recorder, pki) as address:
        trusting = ConsulConfig(address=f"https://{address}", ca_cert=pki / "ca.pem")
        assert await leader(replace(trusting, tls_server_name="consul.example")) == "127.0.0.1:8300"
        with pytest.raises(UnreachableError, match=r"its certificate was refused: .*127\.0\.0\.1"):
            await leader(trusting)
        with pytest.raises(UnreachableError, match="its certificate was refused"):
            await leader(replace(trusting, ca_cert=None, tls_server_name="consul.example"))


@needs_openssl
async def test_tls_without_verification_is_what_it_says(recorder, pki):
    async with tls_server(recorder, pki) as address:
        assert await leader(ConsulConfig(address=f"https://{address}", ssl_verify=False))


@needs_openssl
async def test_the_ssl_variable_asks_for_tls_and_no_scheme_takes_it_back(recorder, pki):
    async with tls_server(recorder, pki) as address:
        config = ConsulConfig(address=address, ssl=True, ssl_verify=False)
        assert await leader(config)
        assert await leader(replace(config, address=f"http://{address}"))


@needs_openssl
async def test_every_file_of_the_ca_path_counts_whatever_its_name(recorder, pki, tmp_path):
    shutil.copy(pki / "ca.pem", tmp_path / "any name.txt")
    async with tls_server(recorder, pki) as address:
        config = ConsulConfig(address=f"https://{address}", ca_path=tmp_path, tls_server_name="consul.example")
        assert await leader(config)


@needs_openssl
async def test_a_server_that_wants_a_client_certificate_gets_it(recorder, pki):
    async with tls_server(recorder, pki, client_certificate=True) as address:
        config = ConsulConfig(address=f"https://{address}", ca_cert=pki / "ca.pem", tls_server_name="consul.example")
        with_key = replace(config, client_cert=pki / "client.pem", client_key=pki / "client.key")
        assert await leader(with_key)
        with pytest.raises(UnreachableError):
            await leader(config)


def test_tls_files_that_cannot_be_used_are_all_named(tmp_path):
    (tmp_path / "bad.pem").write_text("not a certificate")
    config = ConsulConfig(
        address="https://consul:8501",
        ca_cert=tmp_path / "absent.pem",
        ca_path=tmp_path / "nowhere",
        client_cert=tmp_path / "bad.pem",
    )
    with pytest.raises(ValidationError) as caught:
        Consul(config)
    places = [problem.path for problem in caught.value.violations]
    assert sorted(places) == ["CONSUL_CACERT", "CONSUL_CAPATH", "CONSUL_CLIENT_CERT"]
    with pytest.raises(ValidationError, match="CONSUL_CLIENT_KEY: is of no use without CONSUL_CLIENT_CERT"):
        Consul(ConsulConfig(address="https://consul:8501", client_key=tmp_path / "bad.pem"))


@needs_consul
@needs_openssl
async def test_a_real_consul_over_https_with_client_certificates(pki):
    port = promised_port()
    tls = {"cert_file": "server.pem", "key_file": "server.key", "ca_file": "ca.pem"}
    options = {name: os.fspath(pki / file) for name, file in tls.items()}
    async with real_consul(ports={"https": port}, verify_incoming_https=True, **options):
        config = ConsulConfig(
            address=f"https://127.0.0.1:{port}",
            ca_cert=pki / "ca.pem",
            client_cert=pki / "client.pem",
            client_key=pki / "client.key",
            tls_server_name="consul.example",
        )
        async with Consul(config) as consul:
            assert await eventually(consul.leader)
            await consul.kv_put("over", b"tls")
            assert (await consul.kv_get("over")).value.value == b"tls"
