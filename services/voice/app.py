"""The use cases of telephony: devices of users, and what they register."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from services.common.runtime.ids import new_id
from services.voice import domain
from services.voice.domain import Device, DeviceNotFoundError
from services.voice.sip.digest import Algorithm, ha1, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.voice.domain import Binding, Registration
    from services.voice.sip.digest import Credentials

PASSWORD_BYTES = 15
"""120 bits: the hashes that are kept cannot be searched for it."""


class Store(Protocol):
    """Devices and bindings. Every method may raise StoreUnavailableError."""

    async def add(self, device: Device) -> None:
        """Raises AccountTakenError, and TooManyDevicesError; where the user has another account, InvalidDeviceError."""

    async def devices(self, user_id: str) -> Sequence[Device]:
        """The user's devices, the oldest first."""

    async def remove(self, user_id: str, device_id: str) -> bool:
        """Removes a device with its bindings; returns whether the user had it."""

    async def devices_of_account(self, account: str) -> Sequence[Device]: ...

    async def bindings(self, account: str) -> Sequence[Binding]:
        """The account's bindings, expired ones included."""

    async def change_bindings(
        self, account: str, device_id: str, change: Callable[[Sequence[Binding]], Sequence[Binding]]
    ) -> Sequence[Binding] | None:
        """Replaces the account's bindings by what `change` makes of them, in one transaction, and returns them.

        None: the device has been revoked. What `change` raises passes.
        """

    async def registered(self, now: datetime) -> int:
        """The number of bindings that have not expired."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What this registrar is for."""

    domain: str
    """The host part of addresses."""
    realm: str
    """What passwords are for. With another realm, all devices need new passwords."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Telephony:
    """The use cases. `entropy`: random bytes, as `os.urandom`."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        *,
        entropy: Callable[[int], bytes],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.identity = identity
        self._store = store
        self._entropy = entropy
        self._now = now
        # What an unknown account is verified against, so that the time of an answer does not tell that it is unknown.
        self._nothing = {each: ha1(each, "", identity.realm, self._new_password()) for each in Algorithm}

    async def create_device(self, user_id: str, account: str, label: str) -> tuple[Device, str]:
        """A new device and its password, which is not kept.

        Raises InvalidDeviceError, AccountTakenError, TooManyDevicesError, StoreUnavailableError.
        """
        own = await self._store.devices(user_id) if not account else ()
        account = account or (own[0].account if own else "")
        domain.check_account(account, label, user_id)
        password, realm, now = self._new_password(), self.identity.realm, self._now()
        md5, sha256 = (ha1(each, account, realm, password) for each in (Algorithm.MD5, Algorithm.SHA256))
        device = Device(new_id(now, self._entropy), user_id, account, label, md5, sha256, now)
        await self._store.add(device)
        return device, password

    async def devices(self, user_id: str) -> Sequence[Device]:
        return await self._store.devices(user_id)

    async def revoke_device(self, user_id: str, device_id: str) -> None:
        """Raises DeviceNotFoundError, StoreUnavailableError."""
        if not await self._store.remove(user_id, device_id):
            raise DeviceNotFoundError

    async def registrations(self, user_id: str) -> Sequence[Binding]:
        """Where the user's devices are reached now."""
        accounts = {device.account for device in await self._store.devices(user_id)}
        return [binding for account in accounts for binding in await self.bindings(account)]

    async def bindings(self, account: str) -> Sequence[Binding]:
        """Where the account is reached now."""
        return domain.current(await self._store.bindings(account), self._now())

    async def authenticate(self, given: Credentials, method: str) -> Device | None:
        """The device that gave these credentials; None: none of that account. The nonce is not looked at."""
        devices = await self._store.devices_of_account(given.username)
        found = None
        for device in devices:
            if verified(given, method, device.md5 if given.algorithm is Algorithm.MD5 else device.sha256):
                found = device
        if not devices:
            verified(given, method, self._nothing[given.algorithm])
        return found if given.realm == self.identity.realm else None

    async def register(self, account: str, asked: Registration) -> Sequence[Binding] | None:
        """Does what a REGISTER request asks for, and returns the account's bindings; None: the device was revoked.

        Raises RegistrationRefusedError, StoreUnavailableError.
        """
        now = self._now()
        if not asked.contacts and not asked.everything:
            return domain.current(await self._store.bindings(account), now)
        return await self._store.change_bindings(
            account, asked.device_id, lambda bindings: domain.registered(bindings, asked, now)
        )

    async def registered(self) -> int:
        """The number of registrations in all."""
        return await self._store.registered(self._now())

    def remaining(self, binding: Binding) -> int:
        """Whole seconds until the binding expires."""
        return domain.remaining(binding, self._now())

    def _new_password(self) -> str:
        return base64.b32encode(self._entropy(PASSWORD_BYTES)).decode().lower()
