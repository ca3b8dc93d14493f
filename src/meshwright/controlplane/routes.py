"""Routes: a parsed chain and the policies it touches, as xDS routes for one kind of node.

gRPC's client honours less of a route than Envoy does, and mostly ignores the rest in silence. Here each such
thing is decided aloud: `Routes.problems` says what a gRPC client will not do and what happens instead.

- A route that can never match a gRPC call (a query parameter, a method other than POST, a path that is not
  `/service/method`) is left out of gRPC's table. That is not a loss: it would not match either way.
- A prefix rewrite is not done by gRPC. The route stays, and the call arrives under its original path.
- HTTP status codes to retry on become the gRPC status that a service would answer with instead.
- A fault that applies to some headers becomes a copy of the route in front of it with those headers added,
  because gRPC's fault filter does not look at headers itself (gRFC A33).
- A timeout is sent longer than wanted by the node's skew, because gRPC fires it early by exactly that much
  (decision 0022). Envoy gets it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright.controlplane import matches, xds
from meshwright.controlplane.chain import TOTAL_WEIGHT
from meshwright.controlplane.policy import MAX_ATTEMPTS, Balancing, Policy
from meshwright.controlplane.snapshot import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshwright.controlplane.chain import Chain, Route
    from meshwright.controlplane.policy import Fault
    from meshwright.model import ServiceName

_GRPC_STATUS = {
    429: "resource-exhausted",
    499: "cancelled",
    500: "internal",
    502: "unavailable",
    503: "unavailable",
    504: "deadline-exceeded",
}
"""The retryable gRPC status behind an HTTP status (google/rpc/code.proto; 502 as gRPC's HTTP mapping has it)."""

_ENVOY_CONDITIONS = {"unavailable": ("connect-failure", "refused-stream", "reset")}
"""What reaches a gRPC client as UNAVAILABLE is more than one condition to Envoy."""


@dataclass(frozen=True, slots=True)
class Routes:
    """The route list of one service for one kind of node."""

    routes: tuple[Any, ...]
    timed: bool
    """Whether any of them carries a timeout, so that the list depends on a gRPC node's skew."""
    problems: tuple[str, ...]


def build(chain: Chain, policies: Mapping[ServiceName, Policy], kind: NodeKind) -> Routes:
    """All routes of a chain, in its order. `policies` holds those of the chain's service and of its targets."""
    builder = _Builder(chain, policies, kind)
    routes = tuple(built for route in chain.routes for built in builder.build(route))
    return Routes(routes, builder.timed, tuple(builder.problems))


def table(name: str, routes: Routes) -> Any:
    """The route table of a gRPC client: whatever authority it dialled, it asked for this service."""
    host = xds.VirtualHost(name=name, domains=["*"], routes=routes.routes)
    return xds.RouteConfiguration(name=name, virtual_hosts=[host])


def corrected(table: Any, skew_ms: int) -> Any:
    """The same table for a gRPC node that fires timeouts early by that much."""
    copy = xds.RouteConfiguration()
    copy.CopyFrom(table)
    for host in copy.virtual_hosts:
        for route in host.routes:
            limit = route.route.max_stream_duration.max_stream_duration
            if limit.ToNanoseconds():
                limit.FromNanoseconds(limit.ToNanoseconds() + skew_ms * 1_000_000)
    return copy


class _Builder:
    def __init__(self, chain: Chain, policies: Mapping[ServiceName, Policy], kind: NodeKind) -> None:
        self.chain = chain
        self.policies = policies
        self.policy = policies.get(chain.service) or Policy()
        self.kind = kind
        self.timed = False
        self.problems: list[str] = []

    def build(self, route: Route) -> Iterator[Any]:
        """The route itself, behind a copy for each fault that only some calls meet."""
        obstacle = matches.obstacle(route.match) if self.kind is NodeKind.GRPC else None
        if obstacle:
            self._note(route, f"{obstacle}; the route is left out for gRPC clients")
            return
        match = matches.route_match(route.match, self.kind)
        action = self._action(route)
        for fault in self.policy.faults:
            if not fault.headers:
                yield _with_fault(xds.Route(match=match, route=action), fault)
                return
            copy = xds.Route(match=match, route=action)
            copy.match.headers.extend(matches.header(condition) for condition in fault.headers)
            yield _with_fault(copy, fault)
        yield xds.Route(match=match, route=action)

    def _note(self, route: Route, what: str) -> None:
        self.problems.append(f"{route.where}: {what}")

    def _action(self, route: Route) -> Any:
        action = xds.RouteAction()
        if len(route.branches) == 1:
            action.cluster = route.branches[0].upstream
        else:
            for branch in route.branches:
                entry = action.weighted_clusters.clusters.add(name=branch.upstream)
                entry.weight.value = branch.weight
            if self.kind is NodeKind.ENVOY:
                action.weighted_clusters.total_weight.value = TOTAL_WEIGHT
        for name in self._hash_headers(route):
            action.hash_policy.add().header.header_name = name
        self._set_timeout(action, route)
        self._set_retry(action, route)
        self._set_rewrite(action, route)
        return action

    def _hash_headers(self, route: Route) -> list[str]:
        """The metadata keys that the route's targets hash on. Where a target does not, a hash changes nothing."""
        services = {self.chain.upstreams[branch.upstream].target.service for branch in route.branches}
        balancings = [self.policies[service].load_balancing for service in services if service in self.policies]
        return sorted({each.hash_on_header for each in balancings if each.policy is Balancing.RING_HASH})

    def _set_timeout(self, action: Any, route: Route) -> None:
        wanted = route.options.timeout_ms or self.policy.timeout_ms
        limit = action.max_stream_duration
        if wanted:
            self.timed = True
            limit.max_stream_duration.CopyFrom(xds.duration(wanted))
        if self.kind is NodeKind.ENVOY:
            # Envoy's own default would cut every stream after 15 seconds; the caller's deadline counts instead.
            action.timeout.CopyFrom(xds.duration(0))
            limit.grpc_timeout_header_max.CopyFrom(xds.duration(wanted))

    def _set_retry(self, action: Any, route: Route) -> None:
        on, attempts = self._retry(route)
        if attempts < 2 or not on:  # noqa: PLR2004 - one attempt is no retry
            return
        conditions = list(on)
        if self.kind is NodeKind.ENVOY:
            conditions += [more for token in on for more in _ENVOY_CONDITIONS.get(token, ())]
        policy = action.retry_policy
        if "retriable-status-codes" in on:
            policy.retriable_status_codes.extend(route.options.retry_on_status_codes)
        policy.retry_on = ",".join(conditions)
        policy.num_retries.value = attempts - 1
        policy.retry_back_off.base_interval.CopyFrom(xds.duration(self.policy.retry.base_backoff_ms))
        policy.retry_back_off.max_interval.CopyFrom(xds.duration(self.policy.retry.maximum_backoff_ms))

    def _retry(self, route: Route) -> tuple[list[str], int]:
        """The conditions and the attempts: the route's own where it says something, else the policy's."""
        options, default = route.options, self.policy.retry
        on = self._route_conditions(route)
        if not options.retries and not on:
            said_nothing = not options.retry_on_status_codes
            return (list(default.on), default.attempts) if said_nothing else ([], 1)
        attempts = options.retries + 1 if options.retries else max(default.attempts, 2)
        if attempts > MAX_ATTEMPTS and self.kind is NodeKind.GRPC:
            self._note(
                route, f"NumRetries {options.retries} is more than gRPC does; it retries {MAX_ATTEMPTS - 1} times"
            )
            attempts = MAX_ATTEMPTS
        if not on and options.retry_on_status_codes:
            return [], 1
        return (on or list(default.on)), attempts

    def _route_conditions(self, route: Route) -> list[str]:
        on = {"unavailable"} if route.options.retry_on_connect_failure else set()
        for code in route.options.retry_on_status_codes:
            if code in _GRPC_STATUS:
                on.add(_GRPC_STATUS[code])
            elif self.kind is NodeKind.GRPC:
                self._note(route, f"gRPC cannot retry on HTTP status {code}; it is ignored")
        if self.kind is NodeKind.ENVOY and route.options.retry_on_status_codes:
            on.add("retriable-status-codes")
        return sorted(on)

    def _set_rewrite(self, action: Any, route: Route) -> None:
        rewrite = route.options.prefix_rewrite
        if not rewrite or rewrite == route.match.path_prefix:
            return
        if self.kind is NodeKind.ENVOY:
            action.prefix_rewrite = rewrite
        else:
            self._note(route, f"gRPC clients do not rewrite paths; PrefixRewrite {rewrite} is ignored")


def _with_fault(route: Any, fault: Fault) -> Any:
    message = xds.HTTPFault()
    if fault.abort:
        message.abort.grpc_status = fault.abort.status
        message.abort.percentage.CopyFrom(_percentage(fault.abort.percentage))
    if fault.delay:
        message.delay.fixed_delay.CopyFrom(xds.duration(fault.delay.duration_ms))
        message.delay.percentage.CopyFrom(_percentage(fault.delay.percentage))
    route.typed_per_filter_config[xds.FAULT_FILTER].CopyFrom(xds.any_of(message))
    return route


def _percentage(percentage: float) -> Any:
    return xds.FractionalPercent(numerator=round(percentage * 10_000), denominator="MILLION")
