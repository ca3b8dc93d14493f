"""Devices and their registrations: the rules of RFC 3261, section 10.3, for what a registrar keeps.

A user has one account, whose name is the user part of its address (`sip:ada@...`), and devices, each with a password of
its own: a lost telephone is revoked without touching the others. Devices register contacts. A call to the account rings
at all of them.

Everything here is a function of its arguments, time included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.common.runtime.text import text_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

MAX_DEVICES = 10
"""Devices of a user."""
MAX_BINDINGS = 10
"""Contacts of an account."""
MAX_LABEL = 60
MAX_USER_ID = 128
MAX_CONTACT = 500
MIN_EXPIRES = 60
"""Seconds. Shorter registrations would be refreshed all the time (423)."""
MAX_EXPIRES = 3600
DEFAULT_EXPIRES = 600
RESERVED = frozenset({"echo", "music", "time"})
"""Names of extensions."""
ROOM = "room-"
"""The beginning of names of conferences."""

_ACCOUNT = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_CONTACT = re.compile(r"sips?:[!-~]+", re.IGNORECASE)


class InvalidDeviceError(Exception):
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class AccountTakenError(Exception):
    """Another user has that account name."""

    def __init__(self) -> None:
        super().__init__("another user has this account name")


class TooManyDevicesError(Exception):
    """The user has MAX_DEVICES devices."""

    def __init__(self) -> None:
        super().__init__(f"a user has at most {MAX_DEVICES} devices: revoke one first")


class DeviceNotFoundError(Exception):
    """The user has no such device."""

    def __init__(self) -> None:
        super().__init__("this user has no such device")


class RegistrationRefusedError(Exception):
    """The registration is refused with a SIP status. Nothing of it was done."""

    def __init__(self, status: int, reason: str, *, min_expires: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.min_expires = min_expires
        """Seconds, with status 423."""


@dataclass(frozen=True, slots=True)
class Device:
    """One telephone, or program. Its password is not kept: the hashes that digest authentication needs are."""

    id: str
    user_id: str
    account: str
    label: str
    md5: str
    """MD5 of account:realm:password."""
    sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Binding:
    """A contact at which an account is reached."""

    contact: str
    """The contact's URI, as it was registered."""
    device_id: str
    source: str
    """Where the request came from, as `udp 192.0.2.1:5060`: behind a router, that is where the device is reached."""
    call_id: str
    sequence: int
    """Call-ID and CSeq of the request: they tell a late request from a new one."""
    expires_at: datetime
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of a REGISTER request."""

    uri: str
    expires: int | None = None
    """Seconds; None: the request's."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a REGISTER request asks for."""

    device_id: str
    source: str
    call_id: str
    sequence: int
    contacts: Sequence[Contact] = ()
    """None: the request asks for the bindings."""
    everything: bool = False
    """`Contact: *`: all bindings are to go."""
    expires: int | None = None
    """Seconds; None: DEFAULT_EXPIRES."""
    user_agent: str = ""


def check_account(account: str, label: str, user_id: str) -> None:
    """Raises InvalidDeviceError with all problems."""
    wrong = {
        "user_id": "" if 0 < len(user_id) <= MAX_USER_ID else f"must be 1 to {MAX_USER_ID} characters",
        "account": _account_problem(account),
        "label": text_problem(label, MAX_LABEL, required=True),
    }
    wrong = {name: what for name, what in wrong.items() if what}
    if wrong:
        raise InvalidDeviceError(wrong)


def _account_problem(account: str) -> str:
    if not _ACCOUNT.fullmatch(account):
        return "must be 1 to 32 lower-case letters, digits, dots, dashes and underscores, a letter first"
    if account in RESERVED or account.startswith(ROOM):
        return "is the name of an extension"
    return ""


def current(bindings: Iterable[Binding], now: datetime) -> tuple[Binding, ...]:
    """The bindings that have not expired."""
    return tuple(binding for binding in bindings if binding.expires_at > now)


def registered(bindings: Iterable[Binding], asked: Registration, now: datetime) -> tuple[Binding, ...]:
    """The account's bindings after a request, which is done as a whole or not at all.

    Raises RegistrationRefusedError.
    """
    known = {binding.contact: binding for binding in current(bindings, now)}
    if asked.everything:
        _check_everything(asked)
        changed = dict.fromkeys(known, 0)
    else:
        changed = {contact.uri: _seconds(contact, asked) for contact in asked.contacts}
        _check_contacts(changed)
    for uri, seconds in changed.items():
        _check_order(known.get(uri), asked)
        if seconds:
            until = now + timedelta(seconds=seconds)
            known[uri] = Binding(
                uri, asked.device_id, asked.source, asked.call_id, asked.sequence, until, asked.user_agent
            )
        else:
            known.pop(uri, None)
    if len(known) > MAX_BINDINGS:
        raise RegistrationRefusedError(403, "Too Many Contacts")
    return tuple(known.values())


def without_device(bindings: Iterable[Binding], device_id: str) -> tuple[Binding, ...]:
    """The bindings that other devices registered."""
    return tuple(binding for binding in bindings if binding.device_id != device_id)


def remaining(binding: Binding, now: datetime) -> int:
    """Whole seconds until the binding expires."""
    return max(0, int((binding.expires_at - now).total_seconds()))


def _check_everything(asked: Registration) -> None:
    """`*` stands alone, and only to remove (RFC 3261, 10.3, step 6)."""
    if asked.contacts or asked.expires != 0:
        raise RegistrationRefusedError(400, "Contact * Wants Expires 0")


def _check_contacts(contacts: Mapping[str, int]) -> None:
    if len(contacts) > MAX_BINDINGS:
        raise RegistrationRefusedError(403, "Too Many Contacts")
    if any(len(uri) > MAX_CONTACT or not _CONTACT.fullmatch(uri) for uri in contacts):
        raise RegistrationRefusedError(400, "Bad Contact")
    if any(0 < seconds < MIN_EXPIRES for seconds in contacts.values()):
        raise RegistrationRefusedError(423, "Interval Too Brief", min_expires=MIN_EXPIRES)


def _check_order(binding: Binding | None, asked: Registration) -> None:
    """A request that was overtaken by a later one of the same device fails (RFC 3261, 10.3, step 7)."""
    if binding and binding.call_id == asked.call_id and asked.sequence <= binding.sequence:
        raise RegistrationRefusedError(500, "Out Of Order")


def _seconds(contact: Contact, asked: Registration) -> int:
    """How long the contact is kept: its own wish, the request's, or the default."""
    wished = contact.expires if contact.expires is not None else asked.expires
    return DEFAULT_EXPIRES if wished is None else min(wished, MAX_EXPIRES)
