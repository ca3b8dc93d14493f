"""The agent: services and checks that were registered here, and their way into the catalog.

The agent owns what is registered with it and pushes every change of state to the catalog at once. Only a change of
a check's output alone waits: Consul holds it back for five minutes (`CheckUpdateInterval`), since an output that
carries a duration would otherwise wake every reader at every check.

Time is an argument: the owner of the agent calls `expire` and `reap` as it passes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from meshwright import durations
from meshwright.dev.consul.catalog.models import CRITICAL, PASSING, WARNING, Check, Service
from meshwright.dev.consul.http_errors import HttpError, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.dev.consul.catalog.catalog import Catalog

NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"
MAX_OUTPUT = 4096
CHECK_UPDATE_INTERVAL = 300.0
"""Seconds for which a change of output alone is held back from the catalog."""


@dataclass(frozen=True)
class CheckSpec:
    """How a check is run: exactly one of `ttl`, `grpc`, `http` and `tcp` is set. Durations in seconds."""

    id: str
    service_id: str = ""
    ttl: float = 0.0
    grpc: str = ""
    grpc_use_tls: bool = False
    http: str = ""
    method: str = "GET"
    header: Mapping[str, Iterable[str]] | None = None
    body: str = ""
    tcp: str = ""
    tls_skip_verify: bool = False
    interval: float = 0.0
    timeout: float = 10.0
    success_before_passing: int = 0
    failures_before_critical: int = 0
    deregister_after: float = 0.0

    @property
    def type(self) -> str:
        """Consul's name for the kind of check."""
        kinds = (("grpc", self.grpc), ("http", self.http), ("tcp", self.tcp), ("ttl", self.ttl))
        return next((name for name, value in kinds if value), "")


@dataclass
class LocalCheck:
    """A check of this agent: its state, how it is run, and when what happened."""

    row: Check
    spec: CheckSpec | None
    critical_since: float | None = None
    expires: float | None = None
    publish_at: float | None = None
    """When an output that changed alone goes to the catalog."""
    successes: int = 0
    failures: int = 0


class Runner(Protocol):
    """Runs the checks that are not TTL checks."""

    def start(self, spec: CheckSpec, *, at_once: bool) -> None:
        """Begin to run a check, instead of any that had its id: at once, or within its interval."""

    def stop(self, check_id: str) -> None:
        """Run it no more."""


class Agent:
    """One node's services and checks."""

    def __init__(self, catalog: Catalog, node: str, runner: Runner) -> None:
        self.catalog = catalog
        self.node = node
        self.services: dict[str, Service] = {}
        self.checks: dict[str, LocalCheck] = {}
        self._runner = runner

    def register(
        self,
        service: Service,
        checks: Iterable[tuple[Check, CheckSpec]],
        now: float,
        *,
        replace_checks: bool = False,
    ) -> None:
        """Add or replace a service with its checks; its other checks stay unless `replace_checks`."""
        checks = tuple(checks)
        if replace_checks:
            kept = {check.id for check, _ in checks}
            for check_id in [key for key, item in self.checks.items() if item.row.service_id == service.id]:
                if check_id not in kept:
                    self.deregister_check(check_id)
        self.catalog.store.next()
        self.services[service.id] = service
        self.catalog.put_service(service)
        for check, spec in checks:
            self._add_check(check, spec, now)

    def deregister(self, service_id: str) -> None:
        """Remove a service with its checks; one that is not there is no error."""
        if service_id not in self.services:
            return
        for check_id in [key for key, item in self.checks.items() if item.row.service_id == service_id]:
            self._runner.stop(check_id)
            del self.checks[check_id]
        del self.services[service_id]
        self.catalog.store.next()
        self.catalog.delete_service(self.node, service_id)

    def checks_for(self, service_id: str) -> list[Check]:
        """The checks that count for a service: the node's and its own."""
        return [item.row for item in self.checks.values() if item.row.service_id in ("", service_id)]

    def register_check(self, check: Check, spec: CheckSpec, now: float) -> None:
        """Add or replace a check, of the node or of a service that is registered here."""
        if check.service_id:
            service = self.services.get(check.service_id)
            if service is None:
                raise refused(f'ServiceID "{check.service_id}" does not exist')
            check = replace(check, service_name=service.name, service_tags=service.tags)
        self.catalog.store.next()
        self._add_check(check, spec, now)

    def deregister_check(self, check_id: str) -> None:
        """Remove a check; one that is not there is no error."""
        if check_id in self.checks:
            self._runner.stop(check_id)
            del self.checks[check_id]
            self.catalog.store.next()
            self.catalog.delete_check(self.node, check_id)

    def beat(self, check_id: str, status: str, output: str, now: float) -> None:
        """A TTL check reports its state."""
        item = self.checks.get(check_id)
        if item is None or item.spec is None or not item.spec.ttl:
            raise refused(f'CheckID "{check_id}" does not have associated TTL')
        item.expires = now + item.spec.ttl
        self.observe(check_id, status, output, now)

    def report(self, check_id: str, status: str, output: str, now: float) -> None:
        """A run of a check ended: count it, and change the state when there were enough in a row."""
        item = self.checks.get(check_id)
        if item is None or item.spec is None:
            return
        good = status in (PASSING, WARNING)
        item.successes = item.successes + 1 if good else 0
        item.failures = 0 if good else item.failures + 1
        if good and item.successes < item.spec.success_before_passing:
            return
        if not good and item.failures < item.spec.failures_before_critical:
            return
        self.observe(check_id, status, output, now)

    def observe(self, check_id: str, status: str, output: str, now: float) -> None:
        """Set the state of a check."""
        item = self.checks[check_id]
        output = _truncated(output)
        changed = status != item.row.status
        if not changed and output == item.row.output:
            return
        item.row = replace(item.row, status=status, output=output)
        if status != CRITICAL:
            item.critical_since = None
        elif item.critical_since is None:
            item.critical_since = now
        if changed:
            self._publish(item)
        elif item.publish_at is None:
            item.publish_at = now + CHECK_UPDATE_INTERVAL

    def maintain_service(self, service_id: str, *, enable: bool, reason: str, now: float) -> None:
        """Begin or end a service's maintenance, which is a critical check of its own."""
        service = self.services.get(service_id)
        if service is None:
            raise HttpError(404, f'No service registered with ID "{service_id}"')
        check_id = SERVICE_MAINTENANCE + service_id
        if not enable:
            self.deregister_check(check_id)
        elif check_id not in self.checks:
            default = (
                "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
            )
            row = Check(
                node=self.node,
                id=check_id,
                name="Service Maintenance Mode",
                notes=reason or default,
                service_id=service_id,
                service_name=service.name,
                service_tags=service.tags,
                type="maintenance",
            )
            self._add_maintenance(row, now)

    def maintain_node(self, *, enable: bool, reason: str, now: float) -> None:
        """Begin or end the node's maintenance, which counts for every service on it."""
        if not enable:
            self.deregister_check(NODE_MAINTENANCE)
        elif NODE_MAINTENANCE not in self.checks:
            default = (
                "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
            )
            row = Check(
                node=self.node,
                id=NODE_MAINTENANCE,
                name="Node Maintenance Mode",
                notes=reason or default,
                type="maintenance",
            )
            self._add_maintenance(row, now)

    def expire(self, now: float) -> None:
        """Let the time to live of TTL checks run out, and publish the outputs that were held back for long enough."""
        for check_id, item in tuple(self.checks.items()):
            if item.publish_at is not None and item.publish_at <= now:
                self._publish(item)
            if item.expires is not None and item.expires <= now and item.spec is not None:
                item.expires = None
                note = f"TTL expired (last output before timeout follows): {item.row.output}"
                self.observe(check_id, CRITICAL, note, now)

    def reap(self, now: float) -> list[str]:
        """Deregister the services that have been critical for longer than they said; returns their ids."""
        gone = {
            item.row.service_id
            for item in self.checks.values()
            if item.row.service_id
            and item.spec is not None
            and item.spec.deregister_after
            and item.critical_since is not None
            and now - item.critical_since > item.spec.deregister_after
        }
        for service_id in sorted(gone):
            self.deregister(service_id)
        return sorted(gone)

    # -- inside

    def _add_check(self, check: Check, spec: CheckSpec, now: float) -> None:
        found = self.checks.get(check.id)
        if found is not None:  # a repeated registration keeps the state that was observed
            check = replace(check, status=found.row.status, output=found.row.output)
        item = LocalCheck(
            row=check,
            spec=spec,
            # Consul begins with both counts full: the first run decides alone, the thresholds hold from then on.
            successes=spec.success_before_passing,
            failures=spec.failures_before_critical,
        )
        if check.status == CRITICAL:
            item.critical_since = found.critical_since if found and found.critical_since is not None else now
        if spec.ttl:
            item.expires = now + spec.ttl
        self.checks[check.id] = item
        self.catalog.put_check(check)
        if spec.ttl:
            self._runner.stop(check.id)
        elif found is None or found.spec != spec:
            # A state that came with the registration is believed for a while; without one there is nothing to lose.
            self._runner.start(spec, at_once=check.status == CRITICAL)

    def _add_maintenance(self, row: Check, now: float) -> None:
        self.checks[row.id] = LocalCheck(row=row, spec=None, critical_since=now)
        self.catalog.store.next()
        self.catalog.put_check(row)

    def _publish(self, item: LocalCheck) -> None:
        item.publish_at = None
        self.catalog.store.next()
        self.catalog.put_check(item.row)


def _truncated(output: str) -> str:
    size = len(output)
    if size <= MAX_OUTPUT:
        return output
    return f"Captured {MAX_OUTPUT} of {size} bytes\n...\n{output[-MAX_OUTPUT:]}"


def health_json(service: Service | None, checks: Iterable[Check]) -> tuple[str, dict[str, Any]]:
    """The aggregated status of a service and what `/v1/agent/health/service` says of it."""
    rows = sorted(checks, key=lambda row: row.id)
    status = aggregate(rows)
    definition = {
        "Interval": durations.show(0),
        "Timeout": durations.show(0),
        "DeregisterCriticalServiceAfter": durations.show(0),
        "HTTP": "",
        "Header": None,
        "Method": "",
        "Body": "",
        "TLSSkipVerify": False,
        "TCP": "",
    }
    shown = [{**row.json(), "Type": "", "Definition": definition} for row in rows]
    return status, {
        "AggregatedStatus": status,
        "Service": service.agent_json() if service else None,
        "Checks": shown,
    }


def aggregate(rows: Iterable[Check]) -> str:
    """The worst state counts, and maintenance is worse than all."""
    worst = PASSING
    for row in rows:
        if row.id == NODE_MAINTENANCE or row.id.startswith(SERVICE_MAINTENANCE):
            return "maintenance"
        if row.status == CRITICAL:
            worst = CRITICAL
        elif row.status == WARNING and worst == PASSING:
            worst = WARNING
    return worst
