"""What is somebody's is that somebody's to see and to change: where a server verifies callers, this is asked as well.

`meshwright.Auth` knows methods; whose order or account a request is about only the service knows. A server without
`auth` has no callers to compare with, and lets everybody: that is what its configuration says.

Whoever founds a tenant is an admin of that tenant. Services that know no tenants take such a person for anybody else:
an admin here is one of no tenant.
"""

from __future__ import annotations

import meshwright
from meshwright.errors import PermissionDeniedError

ADMIN = "admin"
NOT_ALLOWED = "NOT_ALLOWED"


def check_owner(user_id: str) -> None:
    """Raises PermissionDeniedError (NOT_ALLOWED) where the caller is another user, and no admin."""
    identity = meshwright.caller()
    # Our own subjects are users' ids, which may be written in capitals; another issuer's may have capitals themselves.
    if identity is not None and identity.subject not in {user_id, user_id.lower()} and not _is_admin(identity):
        raise PermissionDeniedError("this is another user's", reason=NOT_ALLOWED)


def check_admin() -> None:
    """Raises PermissionDeniedError (NOT_ALLOWED) where the caller is no admin."""
    identity = meshwright.caller()
    if identity is not None and not _is_admin(identity):
        raise PermissionDeniedError("only an admin may do this", reason=NOT_ALLOWED)


def _is_admin(identity: meshwright.Identity) -> bool:
    """A tenant's admin is one of its users alone, which the gateway keeps: whoever signs up may found a tenant."""
    roles = identity.claims.get("roles")
    return isinstance(roles, list) and ADMIN in roles and not identity.claims.get("tenant")
