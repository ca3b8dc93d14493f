"""What the chart asks of its setup Job, as one JSON document; and how a password is made up."""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright.errors import BadInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD_LENGTH = 32
_LETTERS = string.ascii_letters + string.digits
"""Nothing that a URL or a shell would have to quote."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume that a StatefulSet is to have."""

    name: str
    """Of the StatefulSet."""
    setting: str
    """The chart's value that decides the size, as `database.storage`."""
    size: str
    """As `1Gi`; empty: no volume."""
    storage_class: str
    """Empty: the cluster's default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Secrets that must have a value under each of their keys, and volumes that must be possible."""

    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of a Secret that is made."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of a Secret that is made, or found: whose it is for Helm."""


def parse_plan(text: str) -> Plan:
    """Raises `BadInputError` for what is not such a document."""
    try:
        found: dict[str, Any] = json.loads(text)
        return Plan(
            secrets={str(name): tuple(map(str, keys)) for name, keys in (found.get("secrets") or {}).items()},
            volumes=tuple(
                Volume(each["name"], each["setting"], each.get("size") or "", each.get("storageClass") or "")
                for each in found.get("volumes") or ()
            ),
            labels=found.get("labels") or {},
            annotations=found.get("annotations") or {},
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"expected the JSON object that the chart writes: {error!r}"
        raise BadInputError("the environment", [Problem("MESHWRIGHT_SETUP", what)]) from error


def random_password() -> str:
    """190 bits of the system's randomness."""
    return "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH))
