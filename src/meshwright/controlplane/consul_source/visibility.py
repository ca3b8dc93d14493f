"""Services that Consul lists and of which it shows no instance. Pure; time comes in as an argument.

Consul lists a service for as long as it has an instance, and shows the instances whose nodes the token may read. A list
that is empty all the same may be a moment between the two answers; if it lasts, the token lacks node:read for those
nodes. Nothing is believed of it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Set

    from meshwright.model import ServiceName

MOMENT = 0.5
"""Seconds after which a list that is empty is no coincidence."""


class Hidden:
    """Since when which services are hidden."""

    def __init__(self) -> None:
        self._since: dict[ServiceName, float] = {}

    def see(self, services: Set[ServiceName], now: float) -> tuple[Violation, ...]:
        """Take in the services that are hidden now; returns what is to be said of them."""
        self._since = {service: self._since.get(service, now) for service in services}
        lasting = sorted(service for service, since in self._since.items() if now - since >= MOMENT)
        what = "Consul lists it and shows no instance of it: does the token have node:read for the nodes that it is on?"
        return tuple(Violation(f"instances of {service}", what) for service in lasting)
