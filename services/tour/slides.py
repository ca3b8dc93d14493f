"""The lecture's slides that run, in the lecture's order, each with the function that visits it."""

from __future__ import annotations

from services.tour import calls, consistency, live, mesh, versions
from services.tour.guide import Stop

STOPS = (
    Stop("HTTP polling (inefficient)", "polling", live.polling),
    Stop("WebSocket (efficient); message broadcasting", "chat", live.chat),
    Stop("Server-Sent Events: live news feed, live charts", "events", live.events),
    Stop("HTTP vs gRPC: size comparison; performance comparison", "sizes", calls.sizes),
    Stop("JSON-RPC: simple RPC over HTTP", "json-rpc", calls.json_rpc),
    Stop("Internal vs external API architecture; a simple gRPC service", "calls", calls.outside_and_inside),
    Stop("gRPC streaming", "streaming", calls.streaming),
    Stop("User service with gRPC", "errors", calls.errors),
    Stop("Notification service with streaming", "notifications", live.notifications),
    Stop("gRPC middleware: authentication, logging and metrics interceptors", "interceptors", calls.interceptors),
    Stop("Why split your application? Failure isolation, independent scaling", "isolation", mesh.isolation),
    Stop("Service discovery and inter-service communication", "discovery", mesh.discovery),
    Stop("Database per service", "databases", consistency.databases),
    Stop("Saga pattern (distributed transactions)", "saga", consistency.saga),
    Stop("Event sourcing pattern; rebuilding state from events", "event-sourcing", consistency.event_sourcing),
    Stop("Event sourcing pattern: an order and what became of it", "order-events", consistency.order_events),
    Stop("CQRS: separation of reads and writes", "cqrs", consistency.cqrs),
    Stop("API versioning strategies: URL and header; additive changes", "versions", versions.by_address_and_header),
    Stop("gRPC versioning", "packages", versions.by_package),
    Stop("Breaking changes handling; version support matrix", "deprecation", versions.ending),
    Stop("Version support matrix: v4, a beta with multi-tenancy", "tenants", versions.tenants),
)
