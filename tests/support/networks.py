"""Two machines on one network, as far as the kernel is concerned: network namespaces connected by a pair of veths."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE, THERE = "198.51.100.1", "198.51.100.2"
HERE_6, THERE_6 = "2001:db8:51::1", "2001:db8:51::2"


@dataclass(frozen=True)
class Machine:
    """A network namespace, alive as long as its process."""

    pid: int

    def argv(self, *command: str) -> list[str]:
        """The command, to be run in it."""
        return ["nsenter", "--net", "--target", str(self.pid), "--", *command]

    def run(self, *command: str) -> str:
        return subprocess.run(self.argv(*command), check=True, capture_output=True, text=True, timeout=60).stdout


def missing() -> str:
    """What keeps this machine from making namespaces; empty where nothing does."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    lacking = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if lacking:
        return f"there is no {', '.join(lacking)}"
    probe = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return "" if probe.returncode == 0 else "network namespaces are not permitted here"


@contextlib.contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """The first has the addresses HERE and HERE_6, the second THERE and THERE_6."""
    with contextlib.ExitStack() as stack:
        here, there = (stack.enter_context(_machine()) for _ in range(2))
        veth = ["ip", "link", "add", "eth0", "netns", str(here.pid), "type", "veth"]
        subprocess.run([*veth, "peer", "name", "eth0", "netns", str(there.pid)], check=True)
        for machine, addresses in ((here, (HERE, HERE_6)), (there, (THERE, THERE_6))):
            machine.run("ip", "link", "set", "lo", "up")
            machine.run("ip", "address", "add", f"{addresses[0]}/24", "dev", "eth0")
            machine.run("ip", "-6", "address", "add", f"{addresses[1]}/64", "dev", "eth0", "nodad")
            machine.run("ip", "link", "set", "eth0", "up")
        yield here, there


@contextlib.contextmanager
def _machine() -> Iterator[Machine]:
    command = ["unshare", "--net", "sh", "-c", "echo made; exec sleep 3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield Machine(process.pid)
        finally:
            process.kill()
