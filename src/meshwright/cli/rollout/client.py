"""One interface for the rollouts of a running `up` and of a cluster (`meshwright.cli.rollout.kubectl`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from meshwright.local.control_api import client
from meshwright.name_suggestions import no_such
from meshwright.rollout.api.parsing import parse_on_laptop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOOK = 0.5
"""Seconds between two reads."""


class RolloutClient(Protocol):
    """Reads and writes rollouts as resources."""

    def all(self) -> list[dict[str, Any]]:
        """Every rollout."""

    def get(self, name: str) -> dict[str, Any]:
        """One rollout. Raises `MeshwrightError` for an unknown name."""

    def changes(self, name: str) -> Iterator[dict[str, Any]]:
        """The rollout, or without a name all of them, repeatedly, changed or not."""

    def apply(self, document: Mapping[str, Any]) -> list[str]:
        """Creates or changes a rollout; returns notices. Raises `ValidationError` for an invalid resource."""

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        """Applies a merge patch (RFC 7396)."""

    def delete(self, name: str) -> None:
        """Deletes it; its `onDelete` decides on the traffic rules."""


class LocalRolloutClient:
    """The rollouts of a running `up`."""

    def __init__(self, topology: str) -> None:
        self._running = client.find(topology)

    def all(self) -> list[dict[str, Any]]:
        return self._running.rollouts()

    def get(self, name: str) -> dict[str, Any]:
        found = {document["metadata"]["name"]: document for document in self.all()}
        if name not in found:
            raise client.RefusedError(no_such("rollout", name, found))
        return found[name]

    def changes(self, name: str) -> Iterator[dict[str, Any]]:
        while True:
            yield from [self.get(name)] if name else self.all()
            time.sleep(_LOOK)

    def apply(self, document: Mapping[str, Any]) -> list[str]:
        parse_on_laptop(document)
        notices: list[str] = self._running.apply_rollout(document)["notices"]
        return notices

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        self._running.patch_rollout(name, patch)

    def delete(self, name: str) -> None:
        self._running.delete_rollout(name)
