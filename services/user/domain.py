"""Users, and the validation of their fields.

Everything here is a function of its arguments, time included. An existing user was valid when it was stored; `problems`
lists the rules that it violates now, since rules become stricter.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.common.runtime.text import text_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME = 100
MAX_EMAIL = 254
"""RFC 5321, 4.5.3.1.3, less the angle brackets of a path."""
MAX_EMAIL_LOCAL = 64
MAX_AVATAR = 500
AGE_OF_ID = timedelta(days=1)
"""Tolerated difference of the time in a caller's id from the clock."""
POINTS_PER_DAY = 10.0
INACTIVE = "the user is not active"
UNKNOWN = "there is no such user"

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")
"""RFC 5321's Mailbox without quoted strings and address literals."""
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: the country code first, 15 digits at most."""
_HTTPS = re.compile(rf"https://{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?(?:/[!-~]*)?")
_PHONE_PUNCTUATION = str.maketrans("", "", " -./()")


class InvalidUserError(Exception):
    """The user would be invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class UserNotFoundError(Exception):
    """No user has that id."""

    def __init__(self) -> None:
        super().__init__(UNKNOWN)


class EmailTakenError(Exception):
    """Another user has that e-mail address."""

    def __init__(self) -> None:
        super().__init__("another user has this e-mail address")


class UserChangedError(Exception):
    """The user has changed since the caller read it."""

    def __init__(self) -> None:
        super().__init__("the user has changed since it was read")


@dataclass(frozen=True, slots=True)
class User:
    """One user. `updated_at` is its version: no two states of a user share one."""

    id: str
    name: str
    email: str
    phone: str
    active: bool
    created_at: datetime
    updated_at: datetime
    avatar: str = ""
    """An https URL; empty: none."""
    balance_cents: int = 0
    """The last balance from the payment service, which owns it; here it is part of the user's history."""

    @property
    def email_key(self) -> str:
        """The unique key of the address."""
        return self.email.lower()


@dataclass(frozen=True, slots=True)
class Changes:
    """Fields of an update; None: unchanged."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    active: bool | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether a user is valid, and if not, why."""

    is_valid: bool
    reason: str = ""


def new_user(name: str, email: str, phone: str, avatar: str = "", *, id: str, now: datetime) -> User:  # noqa: A002
    """Creates a user; raises InvalidUserError."""
    written = (clean_name(name), email.strip(), clean_phone(phone))
    return _checked(User(id, *written, active=True, created_at=now, updated_at=now, avatar=avatar.strip()))


def changed(user: User, changes: Changes, *, now: datetime) -> User:
    """Applies the changes; returns the same object if nothing changes. Raises InvalidUserError."""
    after = replace(
        user,
        name=user.name if changes.name is None else clean_name(changes.name),
        email=user.email if changes.email is None else changes.email.strip(),
        phone=user.phone if changes.phone is None else clean_phone(changes.phone),
        active=user.active if changes.active is None else changes.active,
        avatar=user.avatar if changes.avatar is None else changes.avatar.strip(),
    )
    if after == user:
        return user
    # Versions must ascend, though clocks may stand still or step back.
    later = max(now, user.updated_at + timedelta(microseconds=1))
    return _checked(replace(after, updated_at=later))


def validated(user: User | None) -> Validation:
    """Validates a user; None: not found."""
    if user is None:
        return Validation(is_valid=False, reason=UNKNOWN)
    if not user.active:
        return Validation(is_valid=False, reason=INACTIVE)
    reasons = [f"{field} {what}" for field, what in problems(user).items()]
    return Validation(is_valid=not reasons, reason="; ".join(reasons))


def member_days(user: User, now: datetime) -> int:
    """Days of membership, the first one included."""
    return max(0, (now - user.created_at).days) + 1


def problems(user: User) -> dict[str, str]:
    """The problem of each invalid field."""
    found = {
        "name": _name_problem(user.name),
        "email": _email_problem(user.email),
        "phone": _phone_problem(user.phone),
        "avatar": _avatar_problem(user.avatar),
    }
    return {field: what for field, what in found.items() if what}


def _checked(user: User) -> User:
    found = problems(user)
    if found:
        raise InvalidUserError(found)
    return user


def clean_name(name: str) -> str:
    """Normalises a name: NFC, single spaces."""
    return re.sub(r" {2,}", " ", unicodedata.normalize("NFC", name).strip())


def clean_phone(phone: str) -> str:
    """Removes punctuation from a telephone number."""
    return phone.translate(_PHONE_PUNCTUATION)


def _name_problem(name: str) -> str:
    return text_problem(name, MAX_NAME, required=True)


def _email_problem(email: str) -> str:
    if not email:
        return "is required"
    if len(email) > MAX_EMAIL or len(email.partition("@")[0]) > MAX_EMAIL_LOCAL:
        return f"must be at most {MAX_EMAIL} characters long, and {MAX_EMAIL_LOCAL} before the @"
    if not _EMAIL.fullmatch(email):
        return "must be an e-mail address, as in ada@example.org"
    return ""


def _phone_problem(phone: str) -> str:
    if phone and not _PHONE.fullmatch(phone):
        return "must be a number with its country code, as in +4930123456, or empty"
    return ""


def _avatar_problem(avatar: str) -> str:
    if avatar and (len(avatar) > MAX_AVATAR or not _HTTPS.fullmatch(avatar)):
        return f"must be an https address of at most {MAX_AVATAR} characters, or empty"
    return ""


def avatar(user: User) -> str:
    """The avatar URL of a user: its own, or one derived from the e-mail address."""
    digest = hashlib.sha256(user.email_key.encode()).hexdigest()[:16]
    return user.avatar or f"https://avatars.example.org/{digest}.svg"


def chosen_id(text: str, now: datetime) -> str:
    """Validates a caller's id for a new user; raises InvalidUserError."""
    known = parse_id(text)
    number = uuid.UUID(known) if known else None
    if known is None or number is None or number.version != 7:  # noqa: PLR2004 - as in `runtime.ids`
        raise InvalidUserError({"id": "must be a UUID of version 7"})
    made = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number.int >> 80)
    if abs(made - now) > AGE_OF_ID:
        raise InvalidUserError({"id": "must be of now: ids are in the order of creation"})
    return known


def parse_id(text: str) -> str | None:
    """Normalises a user id; None if it is invalid."""
    try:
        return str(uuid.UUID(text)) if len(text) <= len("urn:uuid:") + 36 else None
    except ValueError:
        return None
