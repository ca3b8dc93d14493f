"""Who calls: tokens are verified where a call comes in, and what they claim goes along with the call.

The problem: a service behind a gateway is still reached by every process in the network. The choice: the caller's
own token (a signed JWT, RFC 7519 and RFC 9068) travels with each call, and each server verifies it against the issuer's
published keys (RFC 7517). Nothing is asked of the issuer for a call, no service trusts another's word, and a server
with `auth` refuses whatever it was not told to let through. The consequence: a token is good until it expires,
whatever happens to its owner meanwhile, so its life must be short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright import optional_imports
from meshwright.auth.guard import Auth, bearer
from meshwright.auth.identity import Identity, caller, calling

if TYPE_CHECKING:
    from meshwright.auth.keys import ReadKeys
    from meshwright.auth.verifier import JwtVerifier

__all__ = ["Auth", "Identity", "JwtVerifier", "ReadKeys", "bearer", "caller", "calling"]

_NEED_PYJWT = {"JwtVerifier": "meshwright.auth.verifier", "ReadKeys": "meshwright.auth.keys"}


def __getattr__(name: str) -> Any:
    if name not in _NEED_PYJWT:
        raise AttributeError(f"module 'meshwright.auth' has no attribute {name!r}")
    return getattr(optional_imports.load(_NEED_PYJWT[name], name, "auth"), name)
