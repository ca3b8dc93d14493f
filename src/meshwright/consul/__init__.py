"""The one door to Consul: a typed client, following its state, and keeping an instance registered."""

from meshwright.consul.client import Consul
from meshwright.consul.pacing import Backoff
from meshwright.consul.registrar import Registrar
from meshwright.consul.values import (
    NEEDS_CONNECT,
    AgentService,
    Blocking,
    CheckState,
    ConsulError,
    Indexed,
    KvPair,
    NotConnectedError,
    Registration,
)
from meshwright.consul.watch import watch

__all__ = [
    "NEEDS_CONNECT",
    "AgentService",
    "Backoff",
    "Blocking",
    "CheckState",
    "Consul",
    "ConsulError",
    "Indexed",
    "KvPair",
    "NotConnectedError",
    "Registrar",
    "Registration",
    "watch",
]
