"""The versions of the API: one declaration for headers, models, errors, the support matrix and the documentation.

Versions only add. A version that will be removed is first deprecated (RFC 9745), then has a sunset date (RFC 8594), and
afterwards answers 410; each response names the successor's address. The slides' `Deprecation: version=v1` and `Sunset:
2024-12-31` are in no standard format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class VersionStatus(Enum):
    DEPRECATED = "deprecated"
    """Works; clients should migrate."""
    SUPPORTED = "supported"
    CURRENT = "current"
    """The default for requests without a version."""
    BETA = "beta"
    """May change; only with `API-Beta`."""
    SUNSET = "sunset"
    """Answers 410."""


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One version. `features`: its additions to the previous one."""

    number: int
    status: VersionStatus
    features: str
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None

    @property
    def name(self) -> str:
        return f"v{self.number}"

    @property
    def prefix(self) -> str:
        return f"/api/{self.name}"

    def ended(self, now: datetime) -> bool:
        return self.sunset_at is not None and self.sunset_at <= now


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


VERSIONS: tuple[ApiVersion, ...] = (
    ApiVersion(1, VersionStatus.DEPRECATED, "Basic CRUD", _day(2026, 7, 1), _day(2028, 1, 1)),
    ApiVersion(2, VersionStatus.SUPPORTED, "+ Phone, Avatar", sunset_at=_day(2029, 1, 1)),
    ApiVersion(3, VersionStatus.CURRENT, "+ Social login, orders, search"),
    ApiVersion(4, VersionStatus.BETA, "+ Multi-tenancy"),
)


class VersionMatrix:
    """The versions and their status at `now` (aware). `sunsets`: overrides sunset dates, by name."""

    def __init__(
        self,
        versions: Sequence[ApiVersion] = VERSIONS,
        *,
        now: Callable[[], datetime],
        sunsets: Mapping[str, datetime] | None = None,
    ) -> None:
        moved = sunsets or {}
        self.versions = tuple(replace(item, sunset_at=moved.get(item.name, item.sunset_at)) for item in versions)
        self._now = now

    @property
    def current(self) -> ApiVersion:
        return next(item for item in self.versions if item.status is VersionStatus.CURRENT)

    @property
    def names(self) -> str:
        return ", ".join(item.name for item in self.versions)

    def get(self, number: int) -> ApiVersion:
        """Raises KeyError."""
        for item in self.versions:
            if item.number == number:
                return item
        raise KeyError(number)

    def find(self, text: str) -> ApiVersion | None:
        """Finds a version by `v2`, `2` or `2.0`."""
        plain = text.strip().lower().removeprefix("v").removesuffix(".0")
        return next((item for item in self.versions if str(item.number) == plain), None)

    def successor(self, version: ApiVersion) -> ApiVersion | None:
        """The next version that is neither beta nor ended."""
        now = self._now()
        later = (item for item in self.versions if item.number > version.number)
        return next((item for item in later if item.status is not VersionStatus.BETA and not item.ended(now)), None)

    def ended(self, version: ApiVersion) -> bool:
        return version.ended(self._now())

    def deprecated(self, version: ApiVersion) -> bool:
        return version.deprecated_at is not None and version.deprecated_at <= self._now()

    def new_address(self, version: ApiVersion, path: str) -> str | None:
        """The path in the successor of the version; None without one."""
        successor = self.successor(version)
        return None if successor is None else path.replace(version.prefix, successor.prefix, 1)

    def headers(self, version: ApiVersion, path: str) -> dict[str, str]:
        """The version headers of a response for `path`."""
        found = {"API-Version": version.name}
        if version.deprecated_at is not None:
            found["Deprecation"] = f"@{int(version.deprecated_at.timestamp())}"
        if version.sunset_at is not None:
            found["Sunset"] = format_datetime(version.sunset_at, usegmt=True)
        address = self.new_address(version, path)
        docs = f'</docs#section-{version.name}>; rel="deprecation"; type="text/html"'
        links = [docs] if version.deprecated_at else []
        if address is not None and (version.deprecated_at or version.sunset_at):
            links.insert(0, f'<{address}>; rel="successor-version"')
        return found | ({"Link": ", ".join(links)} if links else {})

    def document(self) -> dict[str, Any]:
        """The support matrix."""
        return {"current": self.current.name, "versions": [self._row(item) for item in self.versions]}

    def _row(self, version: ApiVersion) -> dict[str, Any]:
        status = VersionStatus.SUNSET if self.ended(version) else version.status
        successor = self.successor(version)
        row: dict[str, Any] = {
            "version": version.name,
            "status": status.value,
            "features": version.features,
            "base": version.prefix,
            "deprecated_at": _iso(version.deprecated_at),
            "sunset_at": _iso(version.sunset_at),
            "successor": None if successor is None else successor.name,
        }
        return row | ({"opt_in": {"API-Beta": version.name}} if version.status is VersionStatus.BETA else {})


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
