"""What is in force for one service, and what is wrong with it: for the debug pages. Pure.

Problems name what they are about in words (`chain of user`, `meshwright/policy/user retry`), for people. Whether one
concerns a service is told by that place and never by its text, which may name any other service.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.policy import KV_PREFIX
from meshwright.model import ServiceName, folded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshwright.controlplane.model.catalog import Catalog
    from meshwright.errors import Violation

_PLACES = re.compile(rf"{re.escape(KV_PREFIX)}(\S+)|chain of (\S+)|instances of (\S+)|the name '(.+)'|(\S+)")


def service_of(problem: Violation) -> str:
    """The service that a problem concerns, folded; empty where it concerns none alone."""
    match = _PLACES.match(problem.path)
    return folded(next((name for name in match.groups() if name), "")) if match else ""


def is_about(message: str, service: str) -> bool:
    """Whether a client's text names a resource of the service: `user`, or `v2.user.default.dc1`, and not `userview`."""
    return re.search(rf"(?<![\w-]){re.escape(folded(service))}(?![\w-])", folded(message)) is not None


def in_force(service: str, catalog: Catalog | None, problems: Iterable[Violation]) -> dict[str, Any]:
    """The chain and the policy document by which calls to the service are routed now, and its problems."""
    name = ServiceName(folded(service))
    policy = catalog.policies.get(name) if catalog else None
    mine = [problem for problem in problems if service_of(problem) == name]
    return {
        "service": service,
        "known": catalog is not None and name in catalog.chains,
        "chain": catalog.chains.get(name) if catalog else None,
        "policy": json.loads(policy.document) if policy and policy.document else None,
        "policy_refused": any(problem.path.startswith(KV_PREFIX) for problem in mine),
        "problems": [{"where": problem.path, "what": problem.message} for problem in mine],
    }
