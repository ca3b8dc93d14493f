"""What a server tells Consul of itself, and that no other server of the process says it is the same instance."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshwright.consul import Registration
from meshwright.errors import ValidationError, Violation
from meshwright.model import ServiceName
from meshwright.server.services import api_packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshwright.config import ServiceConfig
    from meshwright.model import Address, InstanceId
    from meshwright.telemetry import Identity

_TAKEN: set[tuple[str, str]] = set()
"""Instance ids of the servers of this process, each with its Consul."""


def registration_of(
    config: ServiceConfig, identity: Identity, address: Address, metrics: Address, services: Sequence[str]
) -> Registration:
    """The registration of an instance that serves at `address`, with `/metrics` at `metrics`."""
    place = {"region": config.region, "zone": config.zone}
    return Registration(
        id=identity.instance,
        service=ServiceName(config.service),
        address=address,
        tags=config.tags,
        meta={
            "version": config.version,
            "api": api_packages(services),
            "metrics_port": str(metrics.port),
            **{key: value for key, value in place.items() if value},
        },
        check_interval=config.check_interval,
        deregister_after=config.deregister_after,
    )


@contextlib.contextmanager
def unique(instance: InstanceId, consul: str) -> Iterator[None]:
    """Hold the id of an instance for as long as the context lasts. Raises `ValidationError` where it is held already:
    two registrations with one id would replace each other for ever."""
    key = (instance, consul)
    if key in _TAKEN:
        what = f"{instance} is the id of another server of this process: give each one its own, or none"
        raise ValidationError("the instance id", [Violation("MESHWRIGHT_INSTANCE", what)])
    _TAKEN.add(key)
    try:
        yield
    finally:
        _TAKEN.discard(key)
