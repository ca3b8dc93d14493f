"""The setup Job's plan, one JSON document from the chart; and the generation of passwords."""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD_LENGTH = 32
_LETTERS = string.ascii_letters + string.digits
"""Characters that need no quoting in a URL or a shell."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The desired volume of a StatefulSet."""

    name: str
    """The StatefulSet's name."""
    setting: str
    """The chart value for the size, such as `database.storage`."""
    size: str
    """Such as `1Gi`; empty: no volume."""
    storage_class: str
    """Empty: the cluster's default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The required Secrets with their keys, and the required volumes."""

    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of a made Secret."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """The annotations of a made or found Secret: its Helm release."""


def parse_plan(text: str) -> Plan:
    """Parses the document. Raises `ValidationError` for any other."""
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
        raise ValidationError("the environment", [Violation("MESHWRIGHT_SETUP", what)]) from error


def random_password() -> str:
    """A password with 190 bits of the system's randomness."""
    return "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH))
