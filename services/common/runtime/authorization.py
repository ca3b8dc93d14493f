"""Ownership checks of servers that authenticate callers: users read and change only their own orders and accounts.

`meshwright.auth.Auth` authorises methods; only the service knows the owner of an order or account. A server without
`auth` has no authenticated callers and allows every call, as configured.

A user who creates a tenant is an admin of that tenant only. Services without tenants treat tenant admins as ordinary
users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import meshwright
from meshwright.errors import PermissionDeniedError

if TYPE_CHECKING:
    from meshwright.auth import Identity

ADMIN = "admin"
NOT_ALLOWED = "NOT_ALLOWED"


def check_owner(user_id: str) -> None:
    """Raises PermissionDeniedError (NOT_ALLOWED) if the caller is neither this user nor an admin."""
    identity = meshwright.caller()
    # The gateway's subjects are user ids, compared case-insensitively; other issuers' subjects are case-sensitive.
    if identity is not None and identity.subject not in {user_id, user_id.lower()} and not _is_admin(identity):
        raise PermissionDeniedError("this is another user's", reason=NOT_ALLOWED)


def check_admin() -> None:
    """Raises PermissionDeniedError (NOT_ALLOWED) if the caller is not an admin."""
    identity = meshwright.caller()
    if identity is not None and not _is_admin(identity):
        raise PermissionDeniedError("only an admin may do this", reason=NOT_ALLOWED)


def _is_admin(identity: Identity) -> bool:
    """Admins of a tenant do not count: any user can create a tenant at sign-up."""
    roles = identity.claims.get("roles")
    return isinstance(roles, list) and ADMIN in roles and not identity.claims.get("tenant")
