"""The runnable slides in the lecture's order, each with its function."""

from __future__ import annotations

from services.tour import calls, client, consistency, mesh, realtime, versions
from services.tour.guide import TourStop

STOPS = (
    TourStop("HTTP polling (inefficient)", "polling", realtime.polling),
    TourStop("WebSocket (efficient); message broadcasting", "chat", realtime.chat),
    TourStop("Flutter WebSocket client; receiving messages in a widget", "client", client.flutter_client),
    TourStop("Server-Sent Events: live news feed, live charts", "events", realtime.events),
    TourStop("HTTP vs gRPC: size comparison; performance comparison", "sizes", calls.sizes),
    TourStop("JSON-RPC: simple RPC over HTTP", "json-rpc", calls.json_rpc),
    TourStop("Internal vs external API architecture; a simple gRPC service", "calls", calls.outside_and_inside),
    TourStop("gRPC streaming", "streaming", calls.streaming),
    TourStop("User service with gRPC", "errors", calls.errors),
    TourStop("Notification service with streaming", "notifications", realtime.notifications),
    TourStop("gRPC middleware: authentication, logging and metrics interceptors", "interceptors", calls.interceptors),
    TourStop("Why split your application? Failure isolation, independent scaling", "isolation", mesh.isolation),
    TourStop("Service discovery and inter-service communication", "discovery", mesh.discovery),
    TourStop("Database per service", "databases", consistency.databases),
    TourStop("Saga pattern (distributed transactions)", "saga", consistency.saga),
    TourStop("Event sourcing pattern; rebuilding state from events", "event-sourcing", consistency.event_sourcing),
    TourStop("Event sourcing pattern: an order and what became of it", "order-events", consistency.order_events),
    TourStop("CQRS: separation of reads and writes", "cqrs", consistency.cqrs),
    TourStop("API versioning strategies: URL and header; additive changes", "versions", versions.by_address_and_header),
    TourStop("gRPC versioning", "packages", versions.by_package),
    TourStop("Breaking changes handling; version support matrix", "deprecation", versions.ending),
    TourStop("Version support matrix: v4, a beta with multi-tenancy", "tenants", versions.tenants),
)
