"""gRPC clients of other languages and kinds, each a process that is told by JSON lines what to call.

Those in Go, Node and Java are built by scripts/tools.d/foreign.sh; where one is missing, or older than its sources, its
tests skip with the reason. All take their control plane from the same bootstrap, which names no timeout skew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from support.mesh.mesh import Caller
from support.processes import ROOT, TESTS, python, running
from support.servers.envoy import NO_ENVOY, envoy, find_envoy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from meshwright.model import Address
    from support.mesh.mesh import Outcome


BUILT = ROOT / ".tools" / "foreign"
COMMANDS = {
    "go": ["./bin/client"],
    "node": ["node", "client/client.mjs"],
    "java": ["java", "-XX:TieredStopAtLevel=1", "-cp", "client/classes:client/lib/*", "Client"],
}
PLACE = {"region": "eu", "zone": "a"}
"""Where the clients are."""
KINDS = ["go", "node", "java", "python", "runtime", "envoy"]


class ForeignCaller(Caller):
    """The test's end of one client, for one service."""

    def __init__(self, caller: Caller, kind: str, service: str) -> None:
        super().__init__(caller.process)
        self.kind = kind
        self.service = service

    def to(self, service: str) -> ForeignCaller:
        """The same process, calling another service."""
        return ForeignCaller(self, self.kind, service)

    async def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        return await super().do(command, target=f"xds:///{self.service}", **arguments)

    async def one(self, **arguments: Any) -> Outcome:
        (outcome,) = await self.call(1, **arguments)
        return outcome


def missing(kind: str) -> str | None:
    """Why there is no client of that kind here, or nothing."""
    if kind == "envoy":
        return None if find_envoy() else NO_ENVOY
    if kind not in COMMANDS:
        return None
    reason = BUILT / f"{kind}.reason"
    if reason.exists():
        return f"no client in {kind}: {reason.read_text().strip()}"
    stamp = BUILT / kind / "stamp"
    if not stamp.exists():
        return f"no client in {kind}: `make tools` builds it"
    sources = sorted(path for path in (TESTS / "foreign" / kind).iterdir() if path.is_file())
    if hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest() != stamp.read_text().strip():
        return f"the client in {kind} is older than its sources: `make tools` builds it anew"
    return None


def bootstrap(kind: str, servers: Sequence[Sequence[Address]]) -> str:
    """gRPC's xDS bootstrap: the servers in the order of preference, each of one or several addresses."""
    # Go's and Node's resolvers know no `ipv4:` scheme; a single address needs none.
    uris = [str(server[0]) if len(server) == 1 else f"ipv4:{','.join(map(str, server))}" for server in servers]
    said = {"channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3", "ignore_resource_deletion"]}
    return json.dumps(
        {
            "xds_servers": [{"server_uri": uri, **said} for uri in uris],
            "node": {"id": f"client-in-{kind}", "cluster": "test", "locality": PLACE},
        }
    )


def descriptors(folder: Path) -> Path:
    """The demo's contracts as a FileDescriptorSet."""
    made = folder / "contracts.binpb"
    if not made.exists():
        subprocess.run([ROOT / "scripts" / "descriptors.sh", made], check=True, timeout=60)
    return made


@contextlib.asynccontextmanager
async def foreign(kind: str, folder: Path, *servers: Sequence[Address]) -> AsyncIterator[ForeignCaller]:
    """Run a client of that kind on these control planes for as long as the context lasts; skip where there is none."""
    reason = missing(kind)
    if reason:
        pytest.skip(reason)
    async with contextlib.AsyncExitStack() as stack:
        environ = {"GRPC_XDS_BOOTSTRAP_CONFIG": bootstrap(kind, servers)}
        if kind in COMMANDS:
            command = [*COMMANDS[kind], str(descriptors(folder))]
        else:
            mode = {"python": "plain", "runtime": "runtime"}.get(kind, "")
            if kind == "envoy":
                mode = str((await stack.enter_async_context(envoy(servers[0][0], folder, PLACE))).ingress)
            if kind == "runtime":
                addresses = ",".join(str(address) for server in servers for address in server)
                place = {f"MESHWRIGHT_{name.upper()}": value for name, value in PLACE.items()}
                environ = {"MESHWRIGHT_XDS": addresses, **place}
            command = python(str(TESTS / "foreign" / "python" / "client.py"), mode)
        log, cwd = folder / f"{kind}.log", BUILT / kind if kind in COMMANDS else None
        process = await stack.enter_async_context(running(command, log, environ, pipes=True, cwd=cwd))
        caller = ForeignCaller(Caller(process), kind, "")
        await caller.answer()
        yield caller
