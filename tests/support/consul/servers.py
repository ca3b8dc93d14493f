"""A Consul for tests: the real one where it can be had, and the dev Consul, both as processes that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from meshwright.config import ConsulConfig
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError
from meshwright.model import Address
from support.consul.credentials import NAME
from support.processes import ROOT, promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping


READY = 30.0
ATTEMPTS = 3

_REGISTRY = (
    "import asyncio; from meshwright.config import load_config; from meshwright.dev.consul import RegistryConfig, run; "
    "asyncio.run(run(load_config(RegistryConfig, host='127.0.0.1', port={port})))"
)


def find_consul() -> Path | None:
    """The real Consul: one on PATH, or the one that scripts/tools.d/consul.sh fetched, or none."""
    found = shutil.which("consul") or shutil.which(ROOT / ".tools/consul/consul")
    return Path(found) if found else None


NO_CONSUL = "no real Consul here: neither on PATH nor fetched by scripts/tools.d/consul.sh"


class NotStartedError(RuntimeError):
    """It ended instead of starting; the text holds the end of its log."""


class ConsulServer(Protocol):
    """A running Consul of either kind, on an address that stays the same when it is restarted."""

    name: str
    """`real` or `dev`."""
    address: Address
    config: ConsulConfig

    async def kill(self) -> None:
        """kill -9."""

    async def start(self) -> None:
        """Start it again after `kill`, knowing nothing, and wait until it answers."""

    async def restart(self, *, empty: bool = True) -> None:
        """kill -9 and start. With `empty=False` it comes back with its state, where it was made to keep it."""


class ConsulProcess:
    """A `ConsulServer` that is a child process. Logs go to a file whose end is shown when it does not start."""

    def __init__(self, name: str, command: list[str], address: Address, folder: Path, *, keeps_state: bool) -> None:
        self.name = name
        self.address = address
        self.config = ConsulConfig(address=str(address))
        self.log = folder / "log.txt"
        self._command = command
        self._folder = folder
        self._keeps_state = keeps_state
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        await self._start()

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def restart(self, *, empty: bool = True) -> None:
        if not empty and not self._keeps_state:
            raise ValueError(f"this {self.name} Consul keeps no state")
        await self.kill()
        if empty:
            shutil.rmtree(self._folder / "data", ignore_errors=True)
        await self._start()

    async def _start(self) -> None:
        self._process = self._spawn()
        async with Consul(self.config) as consul:
            await eventually(lambda: self._is_ready(consul), READY, ignore=(MeshwrightError,))

    def _spawn(self) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
        with self.log.open("ab") as log:
            return subprocess.Popen([*_tied(), *self._command], cwd=self._folder, env=environ, stdout=log, stderr=log)

    async def _is_ready(self, consul: Consul) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise NotStartedError(f"the {self.name} Consul ended:\n{self.log.read_text()[-2000:]}")
        return bool(await consul.leader()) and "consul" in (await consul.services()).value


@contextlib.asynccontextmanager
async def real_consul(
    folder: Path | None = None,
    *,
    keeps_state: bool = False,
    token: str | None = None,
    tls: Path | None = None,
    **extra: Any,
) -> AsyncIterator[ConsulProcess]:
    """A real Consul on ports of its own, in memory unless it `keeps_state`. Its files go into `folder`.

    With a `token`, a UUID, it denies everything without it. With `tls`, the folder of the fixture `pki`, it
    speaks nothing but HTTPS, with clients that have a certificate. `extra`: more of its JSON configuration.
    """
    binary = find_consul()
    if binary is None:
        raise RuntimeError("there is no real Consul here: scripts/tools.d/consul.sh fetches one")

    def make(home: Path) -> ConsulProcess:
        address = Address("127.0.0.1", promised_port())
        document = _real_config(address, home, keeps_state=keeps_state)
        if token is not None:
            document["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"master": token, "agent": token}}
        if tls is not None:
            files = {"cert_file": "server.pem", "key_file": "server.key", "ca_file": "ca.pem"}
            document |= {name: str(tls / file) for name, file in files.items()} | {"verify_incoming_https": True}
            document["ports"] |= {"http": -1, "https": address.port}
        (home / "config.json").write_text(json.dumps(_merged(document, extra)))
        mode = [] if keeps_state else ["-dev"]
        command = [str(binary), "agent", *mode, "-config-file", str(home / "config.json")]
        process = ConsulProcess("real", command, address, home, keeps_state=keeps_state)
        process.config = ConsulConfig(address=str(address), token=token)
        if tls is not None:
            process.config = replace(
                process.config,
                address=f"https://{address}",
                ca_cert=tls / "ca.pem",
                client_cert=tls / "client.pem",
                client_key=tls / "client.key",
                tls_server_name=NAME,
            )
        return process

    async with _started(folder, make) as server:
        yield server


class ClusterServer(ConsulProcess):
    """One of several servers; `rpc` is where the others reach it, and what it is called as a leader."""

    rpc: Address


@contextlib.asynccontextmanager
async def consul_cluster(count: int) -> AsyncIterator[list[ClusterServer]]:
    """So many real servers that have elected a leader."""
    binary = find_consul()
    assert binary is not None
    with _inside(None) as folder:
        servers = []
        documents = [
            _real_config(Address("127.0.0.1", promised_port()), folder / str(number), keeps_state=True)
            for number in range(count)
        ]
        meeting = [f"127.0.0.1:{document['ports']['serf_lan']}" for document in documents]
        for number, document in enumerate(documents):
            home = folder / str(number)
            home.mkdir()
            document |= {"node_name": f"node-{number}", "bootstrap_expect": count, "retry_join": meeting}
            document |= {"retry_interval": "1s"}
            (home / "config.json").write_text(json.dumps(document))
            command = [str(binary), "agent", "-config-file", str(home / "config.json")]
            address = Address("127.0.0.1", document["ports"]["http"])
            server = ClusterServer("real", command, address, home, keeps_state=True)
            server.rpc = Address("127.0.0.1", document["ports"]["server"])
            servers.append(server)
        try:
            await asyncio.gather(*(server.start() for server in servers))
            yield servers
        finally:
            for server in servers:
                await server.kill()


@contextlib.asynccontextmanager
async def dev_consul(folder: Path | None = None) -> AsyncIterator[ConsulProcess]:
    """The dev Consul, which speaks Consul's API and holds everything in memory."""

    def make(home: Path) -> ConsulProcess:
        address = Address("127.0.0.1", promised_port())
        command = [sys.executable, "-c", _REGISTRY.format(port=address.port)]
        return ConsulProcess("dev", command, address, home, keeps_state=False)

    async with _started(folder, make) as server:
        yield server


@contextlib.asynccontextmanager
async def _started(folder: Path | None, make: Callable[[Path], ConsulProcess]) -> AsyncIterator[ConsulProcess]:
    """Start what `make` makes. A port that was free may be taken by the time it is bound: then, others are tried."""
    for attempt in range(ATTEMPTS):
        with _inside(folder) as home:
            server = make(home)
            try:
                try:
                    await server.start()
                except NotStartedError:
                    if attempt + 1 == ATTEMPTS:
                        raise
                    continue
                yield server
                return
            finally:
                await server.kill()


@contextlib.contextmanager
def _inside(folder: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="consul-", dir=folder, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _real_config(address: Address, folder: Path, *, keeps_state: bool) -> dict[str, Any]:
    document = {
        "node_name": "node",
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "disable_update_check": True,
        "log_level": "warn",
        "connect": {"enabled": True},
        "ports": {
            "http": address.port,
            "https": -1,
            "dns": -1,
            "grpc": -1,
            "serf_wan": -1,
            "serf_lan": promised_port(),
            "server": promised_port(),
        },
    }
    if keeps_state:
        lively = {"server": True, "bootstrap_expect": 1, "performance": {"raft_multiplier": 1}}
        document |= lively | {"data_dir": str(folder / "data")}
    return document


def _merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **base,
        **{key: {**base[key], **value} if isinstance(base.get(key), dict) else value for key, value in extra.items()},
    }


def _tied() -> list[str]:
    """So that no Consul is left behind by a test run that is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
