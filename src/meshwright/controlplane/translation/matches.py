"""Route matches: Consul's conditions as xDS has them, and which of them a gRPC call can ever meet.

A gRPC call is a POST to `/service/method` without a query; binary metadata (`-bin`) is invisible to matchers
(gRFC A28).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.messages import xds

if TYPE_CHECKING:
    from meshwright.controlplane.model.policy import HeaderMatch
    from meshwright.controlplane.translation.chain import Match, QueryMatch

_METHOD_PATH = re.compile(r"/[^/]+/[^/]+")
_METHOD_PREFIX = re.compile(r"(/|/[^/]+|/[^/]+/[^/]*)")


def obstacle(match: Match) -> str | None:
    """Why no gRPC call can ever meet this match, or None if one can."""
    if match.queries:
        return f"query parameter {match.queries[0].name} never occurs in a gRPC call"
    if match.methods and "POST" not in match.methods:
        return f"a gRPC call is always a POST, never {' or '.join(match.methods)}"
    if match.path_exact and not _METHOD_PATH.fullmatch(match.path_exact):
        return f"PathExact {match.path_exact} is not /service/method"
    if match.path_prefix and not _METHOD_PREFIX.fullmatch(match.path_prefix):
        return f"PathPrefix {match.path_prefix} is not the beginning of /service/method"
    for condition in match.headers:
        if condition.name.endswith("-bin"):
            return f"binary metadata {condition.name} cannot be matched"
    return None


def route_match(match: Match, kind: NodeKind) -> Any:
    """The xDS match. Conditions that gRPC does not have are added for Envoy only; see `obstacle` for the others."""
    message = xds.RouteMatch()
    if match.path_exact:
        message.path = match.path_exact
    elif match.path_regex:
        message.safe_regex.regex = match.path_regex
    else:
        message.prefix = match.path_prefix or "/"
    if match.ignore_case and not match.path_regex:
        message.case_sensitive.value = False
    message.headers.extend(header(condition) for condition in match.headers)
    if kind is NodeKind.ENVOY:
        if match.methods:
            message.headers.append(_methods(match.methods))
        message.query_parameters.extend(_query(condition) for condition in match.queries)
    return message


def header(condition: HeaderMatch) -> Any:
    """A condition on one metadata key."""
    message = xds.HeaderMatcher(name=condition.name, invert_match=condition.invert)
    if condition.exact is not None:
        message.string_match.exact = condition.exact
    elif condition.prefix is not None:
        message.string_match.prefix = condition.prefix
    elif condition.suffix is not None:
        message.string_match.suffix = condition.suffix
    elif condition.regex is not None:
        message.string_match.safe_regex.regex = condition.regex
    else:
        message.present_match = condition.present is not False
    return message


def path_prefix(prefix: str) -> Any:
    """A condition on the path beside the route's own. Envoy only."""
    return xds.HeaderMatcher(name=":path", string_match=xds.StringMatcher(prefix=prefix))


def _methods(methods: tuple[str, ...]) -> Any:
    pattern = "|".join(re.escape(method) for method in sorted(methods))
    return xds.HeaderMatcher(name=":method", string_match=xds.StringMatcher(safe_regex=xds.RegexMatcher(regex=pattern)))


def _query(condition: QueryMatch) -> Any:
    message = xds.QueryParameterMatcher(name=condition.name)
    if condition.exact:
        message.string_match.exact = condition.exact
    elif condition.regex:
        message.string_match.safe_regex.regex = condition.regex
    else:
        message.present_match = True
    return message
