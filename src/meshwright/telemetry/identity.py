"""Who a server or a caller is, in its traces, metrics, logs, in Consul and to the control plane."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from meshwright.model import InstanceId

if TYPE_CHECKING:
    from meshwright.config import ServiceConfig


@dataclass(frozen=True, slots=True)
class Identity:
    """A service, a version of it, and one running instance of that version."""

    service: str
    version: str
    instance: InstanceId

    @classmethod
    def of(cls, config: ServiceConfig) -> Identity:
        """The identity that a configuration gives; a new instance id each time where it names none."""
        return cls(config.service, config.version, InstanceId(config.instance or new_instance_id(config.service)))


def new_instance_id(service: str) -> str:
    """Unique among all instances of all hosts, and readable: host and pid are in it."""
    return f"{service}-{socket.gethostname().partition('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"


@cache
def library_version() -> str:
    """The version of Meshwright: that of the instrumentation scope, where the service's is the resource's."""
    try:
        return metadata.version("meshwright")
    except metadata.PackageNotFoundError:  # imported from a folder that was never installed
        return ""
