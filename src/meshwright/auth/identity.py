"""Who makes the call that is being answered."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose token was verified. `subject` is the token's `sub`; `claims` are all of its claims, read-only."""

    subject: str
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)


CALLER: ContextVar[Identity | None] = ContextVar("meshwright_caller", default=None)


def caller() -> Identity | None:
    """The verified caller of the call that is being answered; None for a public method or a server without `auth`."""
    return CALLER.get()


@contextlib.contextmanager
def calling(identity: Identity | None) -> Iterator[None]:
    """`caller()` is `identity` inside: for an entrance that verifies tokens itself, such as a gateway."""
    token = CALLER.set(identity)
    try:
        yield
    finally:
        CALLER.reset(token)
