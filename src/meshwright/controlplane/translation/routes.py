"""Routes: a parsed chain and the policies it touches, as xDS routes for one kind of node.

gRPC's client honours less of a route than Envoy does, and mostly ignores the rest in silence. Here each such
thing is decided aloud: `Routes.problems` says what a gRPC client will not do and what happens instead.

- A route that can never match a gRPC call (a query parameter, a method other than POST, a path that is not
  `/service/method`) is left out of gRPC's table. That is not a loss: it would not match either way.
- A prefix rewrite is not done by gRPC. The route stays, and the call arrives under its original path.
- HTTP status codes to retry on become the gRPC status that a service would answer with instead; of Envoy's words for
  what to retry on, those for broken connections become UNAVAILABLE.
- Changes of headers and idle timeouts are not done by gRPC. Route and calls stay as they are.
- A fault that applies to some headers becomes a copy of the route in front of it with those headers added,
  because gRPC's fault filter does not look at headers itself (gRFC A33).
- A timeout is sent longer than wanted by the node's skew, because gRPC fires it early by exactly that much
  (decision 0022). Envoy gets it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.policy import MAX_ATTEMPTS, RETRYABLE, Policy
from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.controlplane.translation import balancing, header_changes, matches
from meshwright.controlplane.translation.chain import TOTAL_WEIGHT
from meshwright.messages import xds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshwright.controlplane.model.policy import Fault
    from meshwright.controlplane.translation.balancing import HashOn
    from meshwright.controlplane.translation.chain import Chain, Route
    from meshwright.controlplane.translation.header_changes import BothWays
    from meshwright.model import ServiceName

_OTHER_HOSTS = 5
"""How often an Envoy picks again when a retry is about to go to an instance that has failed the same call."""

_GRPC_STATUS = {
    429: "resource-exhausted",
    499: "cancelled",
    500: "internal",
    502: "unavailable",
    503: "unavailable",
    504: "deadline-exceeded",
}
"""The retryable gRPC status behind an HTTP status (google/rpc/code.proto; 502 as gRPC's HTTP mapping has it)."""

_GRPC_CONDITIONS = {
    **{token: (token, "") for token in RETRYABLE},
    "connect-failure": ("unavailable", ""),
    "reset": ("unavailable", ""),
    "refused-stream": (None, ""),
    "5xx": ("unavailable", "stands for unavailable alone: a gRPC answer has no HTTP status"),
    "gateway-error": ("unavailable", "stands for unavailable alone: a gRPC answer has no HTTP status"),
}
"""What `RetryOn` says, as gRPC says it, and what of it gets lost. A refused stream gRPC repeats by itself (gRFC A6)."""

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
        plain = xds.Route(match=matches.route_match(route.match, self.kind), route=self._action(route))
        self._set_headers(plain, route)
        for fault in self.policy.faults:
            copy = xds.Route()
            copy.CopyFrom(plain)
            if not fault.headers:
                yield _with_fault(copy, fault)
                return
            copy.match.headers.extend(matches.header(condition) for condition in fault.headers)
            yield _with_fault(copy, fault)
        yield plain

    def _note(self, route: Route, what: str) -> None:
        self.problems.append(f"{route.where}: {what}")

    def _action(self, route: Route) -> Any:
        action = xds.RouteAction()
        self._set_clusters(action, route)
        for hash_on in self._hashes(route):
            _add_hash(action, hash_on)
        self._set_timeout(action, route)
        self._set_retry(action, route)
        self._set_rewrite(action, route)
        return action

    def _set_clusters(self, action: Any, route: Route) -> None:
        envoy = self.kind is NodeKind.ENVOY
        changed = any(branch.headers for branch in route.branches)
        if changed and not envoy:
            self._note(route, "gRPC clients do not change headers; those of the splits are ignored")
        if not (envoy and changed) and len({branch.upstream for branch in route.branches}) == 1:
            action.cluster = route.branches[0].upstream
            return
        entries: dict[str, Any] = {}
        for branch in route.branches:
            if envoy or branch.upstream not in entries:
                entries[branch.upstream] = action.weighted_clusters.clusters.add(name=branch.upstream)
            entries[branch.upstream].weight.value += branch.weight
            if envoy:
                self._change_headers(entries[branch.upstream], route, branch.headers)
        if envoy:
            action.weighted_clusters.total_weight.value = TOTAL_WEIGHT

    def _set_headers(self, message: Any, route: Route) -> None:
        headers = route.options.headers
        if self.kind is NodeKind.ENVOY:
            self._change_headers(message, route, headers)
        elif headers:
            self._note(route, f"gRPC clients do not change headers; {headers.fields} are ignored")

    def _change_headers(self, message: Any, route: Route, headers: BothWays) -> None:
        header_changes.apply(headers, message)
        for what in header_changes.problems(headers):
            self._note(route, what)

    def _hashes(self, route: Route) -> list[HashOn]:
        """What the route's targets hash on. Where a target does not, a hash changes nothing."""
        found: dict[HashOn, None] = {}
        for branch in route.branches:
            upstream = self.chain.upstreams[branch.upstream]
            policy = self.policies.get(upstream.target.service)
            found.update(dict.fromkeys(balancing.chosen(policy, upstream.load_balancer, self.kind).hash_on))
        return list(found)

    def _set_timeout(self, action: Any, route: Route) -> None:
        options = route.options
        wanted = options.timeout_ms
        if wanted is None:
            wanted = self.policy.timeout_ms or options.default_timeout_ms
        limit = action.max_stream_duration
        if wanted:
            self.timed = True
            limit.max_stream_duration.CopyFrom(xds.duration(wanted))
        if self.kind is NodeKind.ENVOY:
            # Envoy's own default would cut every stream after 15 seconds; the caller's deadline counts instead.
            action.timeout.CopyFrom(xds.duration(0))
            limit.grpc_timeout_header_max.CopyFrom(xds.duration(wanted))
            if options.idle_timeout_ms is not None:
                action.idle_timeout.CopyFrom(xds.duration(options.idle_timeout_ms))
        elif options.idle_timeout_ms:
            self._note(route, "gRPC clients have no idle timeout for streams; IdleTimeout is ignored")

    def _set_retry(self, action: Any, route: Route) -> None:
        on, attempts = self._retry(route)
        if attempts < 2 or not on:  # noqa: PLR2004 - one attempt is no retry
            return
        conditions = list(on)
        if self.kind is NodeKind.ENVOY:
            more = [each for token in on for each in _ENVOY_CONDITIONS.get(token, ())]
            conditions += [each for each in dict.fromkeys(more) if each not in conditions]
        policy = action.retry_policy
        if "retriable-status-codes" in on:
            policy.retriable_status_codes.extend(route.options.retry_on_status_codes)
        policy.retry_on = ",".join(conditions)
        policy.num_retries.value = attempts - 1
        policy.retry_back_off.base_interval.CopyFrom(xds.duration(self.policy.retry.base_backoff_ms))
        policy.retry_back_off.max_interval.CopyFrom(xds.duration(self.policy.retry.maximum_backoff_ms))
        if self.kind is NodeKind.ENVOY:
            # Envoy does not know that a connection is refused until it tries: its round robin, shared by all calls, may
            # give each attempt of one call to the same dead instance.
            predicate = policy.retry_host_predicate.add(name=xds.PREVIOUS_HOSTS)
            predicate.typed_config.CopyFrom(xds.any_of(xds.PreviousHostsPredicate()))
            policy.host_selection_retry_max_attempts = _OTHER_HOSTS

    def _retry(self, route: Route) -> tuple[list[str], int]:
        """The conditions and the attempts: the route's own where it says something, else the policy's."""
        options, default = route.options, self.policy.retry
        on = self._route_conditions(route)
        if not options.retries and not on:
            said_something = options.retry_on_status_codes or options.retry_on
            return ([], 1) if said_something else (list(default.on), default.attempts)
        attempts = options.retries + 1 if options.retries else max(default.attempts, 2)
        if attempts > MAX_ATTEMPTS and self.kind is NodeKind.GRPC:
            self._note(
                route, f"NumRetries {options.retries} is more than gRPC does; it retries {MAX_ATTEMPTS - 1} times"
            )
            attempts = MAX_ATTEMPTS
        if not on and (options.retry_on_status_codes or options.retry_on):
            return [], 1
        return (on or list(default.on)), attempts

    def _route_conditions(self, route: Route) -> list[str]:
        on = {"unavailable"} if route.options.retry_on_connect_failure else set()
        for code in route.options.retry_on_status_codes:
            if code in _GRPC_STATUS:
                on.add(_GRPC_STATUS[code])
            elif self.kind is NodeKind.GRPC:
                self._note(route, f"gRPC cannot retry on HTTP status {code}; it is ignored")
        if self.kind is NodeKind.ENVOY:
            on.update(route.options.retry_on)
            if route.options.retry_on_status_codes:
                on.add("retriable-status-codes")
        else:
            on.update(self._retry_on(route))
        return sorted(on)

    def _retry_on(self, route: Route) -> Iterator[str]:
        """What of `RetryOn` gRPC can do."""
        for condition in route.options.retry_on:
            token, lost = _GRPC_CONDITIONS.get(condition, (None, "is not gRPC's; it is ignored"))
            if lost:
                self._note(route, f"RetryOn {condition} {lost}")
            if token:
                yield token

    def _set_rewrite(self, action: Any, route: Route) -> None:
        rewrite = route.options.prefix_rewrite
        if not rewrite or rewrite == route.match.path_prefix:
            return
        if self.kind is NodeKind.ENVOY:
            action.prefix_rewrite = rewrite
        else:
            self._note(route, f"gRPC clients do not rewrite paths; PrefixRewrite {rewrite} is ignored")


def _add_hash(action: Any, hash_on: HashOn) -> None:
    policy = action.hash_policy.add(terminal=hash_on.terminal)
    if hash_on.field == balancing.HEADER:
        policy.header.header_name = hash_on.name
    elif hash_on.field == balancing.COOKIE:
        policy.cookie.name, policy.cookie.path = hash_on.name, hash_on.cookie_path
        if hash_on.cookie_ttl_ms is not None:
            policy.cookie.ttl.CopyFrom(xds.duration(hash_on.cookie_ttl_ms))
    elif hash_on.field == balancing.QUERY_PARAMETER:
        policy.query_parameter.name = hash_on.name
    else:
        policy.connection_properties.source_ip = True


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
