"""A PostgreSQL of the tests' own: a throwaway cluster on a free port, never as root (PostgreSQL refuses that)."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.processes import promised_port

if TYPE_CHECKING:
    from collections.abc import Iterator


NO_POSTGRES = "no PostgreSQL: initdb is neither on PATH nor in /usr/lib/postgresql (see scripts/system-packages.sh)"
OWNER = "meshwright"


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs: PATH first, then where Debian keeps them, the newest."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), key=lambda path: float(path.parent.name), default=None)


@dataclass(frozen=True)
class Cluster:
    """A running server."""

    programs: Path
    folder: Path
    port: int
    user: str | None

    def new_database(self) -> str:
        """The URL of an unused database."""
        name = f"test_{uuid.uuid4().hex}"
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER, name)
        return f"postgresql://{OWNER}:not-asked-for@127.0.0.1:{self.port}/{name}"

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*_as(self.user), str(self.programs / program), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")

    def new_guarded_database(self, password: str) -> str:
        """The URL, without the password, of a database whose owner is asked for one."""
        name = f"guarded_{uuid.uuid4().hex}"
        to_all = ("-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER, "-d", "postgres")
        self.run("psql", *to_all, "-qc", f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.run("psql", *to_all, "-qc", f"CREATE DATABASE {name} OWNER {name}")
        rules = self.folder / "data/pg_hba.conf"
        rules.write_text(f"host {name} {name} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.run("pg_ctl", "reload", "-s", "-D", str(self.folder / "data"))
        return f"postgresql://{name}@127.0.0.1:{self.port}/{name}"

    def offer_tls(self, certificate: Path, key: Path) -> None:
        """Let connections be encrypted from now on."""
        for file, name in ((certificate, "server.crt"), (key, "server.key")):
            copy = self.folder / "data" / name
            shutil.copyfile(file, copy)
            copy.chmod(0o600)
            if self.user is not None:
                shutil.chown(copy, self.user)
        with (self.folder / "data/postgresql.conf").open("a") as settings:
            settings.write("\nssl = on\n")
        self.run("pg_ctl", "reload", "-s", "-D", str(self.folder / "data"))

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100"
        log = str(self.folder / "log")
        # pg_ctl's server inherits its output; only a file lets `run` see the end of pg_ctl.
        self.run("pg_ctl", "start", "-w", "-s", "-D", str(self.folder / "data"), "-l", log, "-o", options)

    def lose(self) -> None:
        """Come back empty, as with a new disk."""
        self.stop()
        shutil.rmtree(self.folder / "data")
        self.init()
        self.start()

    def init(self) -> None:
        self.run("initdb", "-A", "trust", "-U", OWNER, "-E", "UTF8", "--no-sync", "-D", str(self.folder / "data"))

    def processes(self) -> list[int]:
        """The ids of the server and of each of its connections."""
        server = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return [server, *map(int, children)]

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", str(self.folder / "data"))


@contextlib.contextmanager
def cluster(programs: Path) -> Iterator[Cluster]:
    """A server for as long as the context lasts."""
    user = _unprivileged() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="meshwright-pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(folder, user)
    made = Cluster(programs, folder, promised_port(), user)
    try:
        made.init()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("PostgreSQL does not run as root, and this system has no user to run it as")


def _as(user: str | None) -> list[str]:
    """What runs a command as that user: util-linux's setpriv, since `subprocess`'s own way forks a process in which
    gRPC's threads live (with a plain command Python takes vfork, which runs none of gRPC's fork handlers)."""
    if user is None:
        return []
    found = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups", "--"]
