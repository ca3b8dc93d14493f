"""What a user is, and what may be said of one.

Everything here is a function of its arguments, time included. A user that exists has passed the rules; `problems`
tells which of them a stored one breaks, since rules become stricter and rows stay.
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
"""How far the time in an id that a caller has made may be from ours."""
POINTS_PER_DAY = 10.0
INACTIVE = "the user is not active"
UNKNOWN = "there is no such user"

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")
"""RFC 5321's Mailbox without quoted strings and address literals: what people have."""
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: the country code first, 15 digits at most."""
_HTTPS = re.compile(rf"https://{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?(?:/[!-~]*)?")
_PHONE_PUNCTUATION = str.maketrans("", "", " -./()")


class InvalidUserError(Exception):
    """The user would break a rule. `fields` maps each wrong field to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class UserNotFoundError(Exception):
    """There is no user with that id."""

    def __init__(self) -> None:
        super().__init__(UNKNOWN)


class EmailTakenError(Exception):
    """Another user has that e-mail address."""

    def __init__(self) -> None:
        super().__init__("another user has this e-mail address")


class UserChangedError(Exception):
    """Somebody else has changed the user since the caller read it."""

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
    """An https address; empty: none was chosen."""
    balance_cents: int = 0
    """What the payment service said last. Money is its business; here it is part of the user's history."""

    @property
    def email_key(self) -> str:
        """What no two users may share."""
        return self.email.lower()


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update writes; None: leave it alone."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    active: bool | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether others may act for a user, and if not, why."""

    is_valid: bool
    reason: str = ""


def new_user(name: str, email: str, phone: str, avatar: str = "", *, id: str, now: datetime) -> User:  # noqa: A002
    """A user who joins now; raises InvalidUserError."""
    written = (clean_name(name), email.strip(), clean_phone(phone))
    return _checked(User(id, *written, active=True, created_at=now, updated_at=now, avatar=avatar.strip()))


def changed(user: User, changes: Changes, *, now: datetime) -> User:
    """The user with the changes, or the very same one if they change nothing; raises InvalidUserError."""
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
    # Clocks stand still and step back; versions do neither.
    later = max(now, user.updated_at + timedelta(microseconds=1))
    return _checked(replace(after, updated_at=later))


def validated(user: User | None) -> Validation:
    """Whether others may act for the user who was found, or not found."""
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
    """Each field that breaks a rule, and what is wrong with it."""
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
    """One form for names that look alike: composed, with single spaces."""
    return re.sub(r" {2,}", " ", unicodedata.normalize("NFC", name).strip())


def clean_phone(phone: str) -> str:
    """A telephone number without the punctuation that people put into it."""
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
    """The picture of a user: the one that was chosen, or one that is derived from the e-mail address."""
    digest = hashlib.sha256(user.email_key.encode()).hexdigest()[:16]
    return user.avatar or f"https://avatars.example.org/{digest}.svg"


def chosen_id(text: str, now: datetime) -> str:
    """An id that the caller has made for a user of now; raises InvalidUserError."""
    known = parse_id(text)
    number = uuid.UUID(known) if known else None
    if known is None or number is None or number.version != 7:  # noqa: PLR2004 - as in `kit.ids`
        raise InvalidUserError({"id": "must be a UUID of version 7"})
    made = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number.int >> 80)
    if abs(made - now) > AGE_OF_ID:
        raise InvalidUserError({"id": "must be of now: ids are in the order of creation"})
    return known


def parse_id(text: str) -> str | None:
    """The id in the form in which it is stored; None for what no id of a user can be."""
    try:
        return str(uuid.UUID(text)) if len(text) <= len("urn:uuid:") + 36 else None
    except ValueError:
        return None
