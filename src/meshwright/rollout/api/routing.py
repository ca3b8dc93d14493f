"""How calls to a service are spread over its versions: the value that is decided, written to Consul and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = 100


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """A condition on one metadata key; exactly one of `exact`, `prefix` and `regex` is set."""

    header: str
    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class HeaderRoute:
    """Calls that satisfy all of `match` go to `version`, whatever the weights."""

    name: str
    version: str
    match: tuple[HeaderMatch, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """Weights in per cent by version, which sum to 100 (a version at 0 is left out), and header routes in order."""

    weights: Mapping[str, int] = field(default_factory=dict)
    header_routes: tuple[HeaderRoute, ...] = ()

    def weight(self, version: str) -> int:
        return self.weights.get(version, 0)

    @property
    def versions(self) -> frozenset[str]:
        """Every version that calls can reach."""
        return frozenset(self.weights) | {route.version for route in self.header_routes}

    @classmethod
    def all_to(cls, version: str) -> Routing:
        return cls({version: WHOLE})
