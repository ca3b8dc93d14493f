"""Where a name is reached: the telephones of an account, or an extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.voice.sip.calls.proxy import Target
from services.voice.sip.messages import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.voice.app import Telephony


class Router:
    """`extensions`: those that are served now, by name; it may change."""

    def __init__(self, telephony: Telephony, extensions: Mapping[str, Target]) -> None:
        self._telephony = telephony
        self._extensions = extensions

    async def targets(self, name: str) -> Sequence[Target]:
        """Where an INVITE to that name goes; empty: nowhere. Raises StoreUnavailableError.

        A telephone is reached where it was heard from. Its contact is only a name to it, and could be any address.
        """
        extension = self._extensions.get(name)
        if extension is not None:
            return [extension]
        bindings = await self._telephony.bindings(name)
        return [Target(binding.contact, Source.parse(binding.source)) for binding in bindings]
