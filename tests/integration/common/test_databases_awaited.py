"""A service that starts before its database waits for it, not yet in Consul, and ends at once where waiting would
not help."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from services.common.runtime.errors import StoreUnavailableError, with_cause
from services.common.storage.database import ensure_database, open_database
from services.common.storage.database_wait import wait_for_database
from services.common.storage.transactions import SCHEMA_LOCK, make_tables
from support.consul.credentials import needs_openssl
from support.consul.servers import dev_consul
from support.processes import Process, frozen, promised_port, python, running
from support.servers.postgres import OWNER, Cluster
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

HEALTH = health_pb2.HealthCheckResponse
metadata = sa.MetaData()
goods = sa.Table("goods", metadata, sa.Column("id", sa.Integer, primary_key=True))


class Health:
    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def hold(self, cause: str, reason: str) -> None:
        self.reasons[cause] = reason

    def release(self, cause: str) -> None:
        self.reasons.pop(cause, None)


def shared(own_postgres: Cluster, password: str = "any") -> str:
    return f"postgresql://{OWNER}:{password}@127.0.0.1:{own_postgres.port}/postgres"


@contextlib.asynccontextmanager
async def service(name: str, folder: Path, url: str, more: Mapping[str, str]) -> AsyncIterator[tuple[Process, int]]:
    """The process, and its port."""
    port = promised_port()
    environ = {
        f"{name.upper()}_DATABASE_URL": url,
        "DEMO_DATABASE_PER_SERVICE": "true",
        "MESHWRIGHT_PORT": str(port),
        "MESHWRIGHT_HOST": "127.0.0.1",
        "NATS_URL": f"nats://127.0.0.1:{promised_port()}",
        **more,
    }
    async with running(python("-m", f"services.{name}"), folder / f"{name}.log", environ) as process:
        yield process, port


async def says(process: Process, what: str) -> None:
    async def said() -> bool:
        return what in process.log.read_text()

    try:
        await eventually(said, 90)
    except AssertionError:
        pytest.fail(f"not said: {what}\n{process.tail()}")


async def check(port: int) -> tuple[int, str]:
    """The status of the whole, and why."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        status = (await call).status
        trailing = dict(await call.trailing_metadata())
    return status, str(trailing.get("health-reason", ""))


@pytest.mark.parametrize("name", ["payment", "order", "user"])
async def test_a_service_waits_for_its_database_and_serves_as_soon_as_it_is_there(
    name: str, own_postgres: Cluster, tmp_path: Path
) -> None:
    """Meanwhile its port is bound (as a liveness probe asks), it says what it waits for, and is not in Consul."""
    await asyncio.to_thread(own_postgres.stop)
    async with dev_consul() as registry:
        consul = str(registry.address)
        told = {"MESHWRIGHT_DISCOVERY": "consul", "CONSUL_HTTP_ADDR": consul, "MESHWRIGHT_REGISTER": "true"}
        async with (
            service(name, tmp_path, shared(own_postgres, "hush-hush"), told) as (process, port),
            httpx.AsyncClient(base_url=f"http://{consul}") as client,
        ):

            async def registered() -> bool:
                return bool((await client.get(f"/v1/health/service/{name}")).raise_for_status().json())

            place = (
                f"waits for the database postgres_{name} at 127.0.0.1:{own_postgres.port} ({name.upper()}_DATABASE_URL)"
            )
            await says(process, place)
            status, reason = await check(port)
            assert (status, reason.partition(": ")[0]) == (HEALTH.NOT_SERVING, place)
            assert "Connection refused" in reason
            assert not await registered()
            assert "hush-hush" not in process.log.read_text()
            await asyncio.to_thread(own_postgres.start)
            await eventually(registered, 60)
            assert await check(port) == (HEALTH.SERVING, "")
            assert "the database is available after" in process.log.read_text()
            assert await process.terminate() == 0


async def _refused_socket(port: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{port}/ws")
    assert refused.value.response.status_code == 503
    assert b"STARTING" in refused.value.response.body


async def test_the_gateway_answers_only_probes_and_pages_while_it_waits(own_postgres: Cluster, tmp_path: Path) -> None:
    await asyncio.to_thread(own_postgres.stop)
    async with (
        service("gateway", tmp_path, shared(own_postgres), {}) as (process, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await says(process, "waits for the database postgres_gateway")
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "waits for the database postgres_gateway" in ready.json()["detail"]
        account = {"email": "ada@example.com", "password": "correct horse battery"}
        user = {"name": "Ada Lovelace", "email": "ada@example.com"}
        for path, body in (
            ("/auth/sign-in", account),
            ("/api/v1/users", user),
            ("/api/v1/calculator/add", {"a": 1, "b": 2}),
        ):
            refused = await client.post(path, json=body)
            assert (refused.status_code, refused.json()["reason"]) == (503, "STARTING"), refused.text
            assert refused.headers["Retry-After"] == "1"
        assert (await client.get("/.well-known/jwks.json")).json()["reason"] == "STARTING"
        assert (await client.get("/")).status_code == 200
        await _refused_socket(port)
        await asyncio.to_thread(own_postgres.start)

        async def made() -> bool:
            return "gateway" not in (await client.get("/readyz")).json().get("detail", "")

        await eventually(made, 30)
        assert (await client.post("/auth/sign-in", json=account)).status_code == 401
        assert await process.terminate() == 0


@pytest.mark.parametrize("name", ["payment", "gateway"])
async def test_a_service_that_waits_ends_in_order_when_it_is_told_to(
    name: str, own_postgres: Cluster, tmp_path: Path
) -> None:
    await asyncio.to_thread(own_postgres.stop)
    async with service(name, tmp_path, shared(own_postgres), {}) as (process, _):
        await says(process, "waits for the database")
        assert await process.terminate() == 0
        said = process.log.read_text()
    assert "told to stop before it served" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["order", "user"])
async def test_a_database_that_does_not_answer_is_waited_for_and_holds_up_no_end(
    name: str, own_postgres: Cluster, tmp_path: Path
) -> None:
    """As one that a broken network hides: connections are accepted, by the kernel."""
    silent = f"waits for the database postgres_{name} at 127.0.0.1:{own_postgres.port} ({name.upper()}_DATABASE_URL): "
    with frozen(*own_postgres.processes()):
        async with service(name, tmp_path, shared(own_postgres), {}) as (process, port):
            await says(process, f"{silent}no answer in time")
            assert await check(port) == (HEALTH.NOT_SERVING, f"{silent}no answer in time")
            assert await process.terminate() == 0
        assert "Traceback" not in process.log.read_text()


async def test_a_database_that_falls_silent_while_tables_are_made_holds_up_no_end(
    own_postgres: Cluster, tmp_path: Path
) -> None:
    own = f"{shared(own_postgres)}_payment"
    await ensure_database(shared(own_postgres), own)
    engine = open_database("X", own)
    async with engine.connect() as connection:
        await connection.execute(sa.select(sa.func.pg_advisory_lock(SCHEMA_LOCK)))

        async def awaited() -> bool:
            return bool(await connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

        async with service("payment", tmp_path, shared(own_postgres), {}) as (process, _):
            await eventually(awaited, 60)
            with frozen(*own_postgres.processes()):
                assert await process.terminate() == 0
    await engine.dispose()
    assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize("name", ["payment", "gateway"])
async def test_a_wrong_password_ends_the_service_at_once(name: str, own_postgres: Cluster, tmp_path: Path) -> None:
    url = own_postgres.new_guarded_database("right").replace("@", ":wrong@", 1)
    async with service(name, tmp_path, url, {}) as (process, _):
        assert await asyncio.wait_for(process.child.wait(), 90) == 1
        said = process.log.read_text().splitlines()[-1]
    assert f"({name.upper()}_DATABASE_URL) cannot be used, and waiting for it would not help: password auth" in said
    assert "wrong@" not in said


async def ready(url: str, given: str = "") -> str:
    """Why it is not, where waiting would not help."""
    engine = open_database("X", url)

    async def prepare() -> None:
        await ensure_database(given or url, url)
        await make_tables(engine, metadata)

    try:
        with pytest.raises(StoreUnavailableError) as caught:
            await asyncio.wait_for(wait_for_database("X", engine, prepare, Health()), 20)
    finally:
        await engine.dispose()
    return with_cause(caught.value)


async def test_what_stays_as_it_is_is_not_waited_for(own_postgres: Cluster, tmp_path: Path) -> None:
    url = shared(own_postgres)
    poor = own_postgres.new_guarded_database("right").replace("@", ":right@", 1)
    file = tmp_path / "shop.db"
    file.write_text("this is no database, and long enough for SQLite to notice" * 20)
    assert 'database "nothing" does not exist' in await ready(url.replace("/postgres", "/nothing"))
    assert 'role "nobody" does not exist' in await ready(url.replace(OWNER, "nobody"))
    assert "permission denied to create database" in await ready(f"{poor}_shop", poor)
    assert "server does not support SSL" in await ready(f"{url}?sslmode=require")
    assert f"the database {file} (X) cannot be used" in await ready(f"sqlite:///{file}")


@needs_openssl
async def test_a_server_whose_certificate_is_not_trusted_is_not_waited_for(
    own_postgres: Cluster, pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = shared(own_postgres)
    own_postgres.offer_tls(pki / "server.pem", pki / "server.key")

    async def encrypted() -> bool:
        engine = open_database("X", f"{url}?sslmode=require")
        try:
            async with engine.connect() as connection:
                query = sa.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                return bool(await connection.scalar(query))
        finally:
            await engine.dispose()

    # The server reads its settings again a moment after the signal.
    await eventually(encrypted, 30, ignore=(sa.exc.OperationalError,))
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "none.crt"))
    assert "root certificate file" in await ready(f"{url}?sslmode=verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(pki / "client.pem"))
    assert "certificate verify failed" in await ready(f"{url}?sslmode=verify-ca")
    monkeypatch.setenv("PGSSLROOTCERT", str(pki / "ca.pem"))
    assert "does not match host name" in await ready(f"{url}?sslmode=verify-full")


async def test_a_host_that_is_not_known_yet_and_a_server_without_a_connection_left_are_waited_for(
    own_postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Service of Kubernetes that is made later; and a server that others hold."""
    monkeypatch.setattr("services.common.storage.database_wait.FIRST_PAUSE_SECONDS", 0.01)
    health, reasons = Health(), []
    engine = open_database("X", shared(own_postgres))
    strange = open_database("X", f"postgresql://{OWNER}@nowhere.invalid:5432/shop")
    name = str(sa.make_url(own_postgres.new_database()).database)
    own_postgres.run("psql", *_to_all(own_postgres), "-qc", f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    full = own_postgres.new_guarded_database("right")
    role = str(sa.make_url(full).username)
    own_postgres.run("psql", *_to_all(own_postgres), "-qc", f"ALTER ROLE {role} CONNECTION LIMIT 0")
    crowded = open_database("X", full.replace("@", ":right@", 1))
    tries = iter([strange, crowded, engine])

    async def prepare() -> None:
        reasons.append(health.reasons.get("database", ""))
        await make_tables(next(tries), metadata)

    await asyncio.wait_for(wait_for_database("X", engine, prepare, health), 30)
    assert "waits for the database postgres at 127.0.0.1" in reasons[1]
    assert "name resolution" in reasons[1] or "not known" in reasons[1]
    assert "too many connections" in reasons[2]
    assert not health.reasons
    for each in (engine, strange, crowded):
        await each.dispose()


def _to_all(own_postgres: Cluster) -> tuple[str, ...]:
    return ("-h", "127.0.0.1", "-p", str(own_postgres.port), "-U", OWNER, "-d", "postgres")
