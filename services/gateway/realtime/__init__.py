"""The real-time edge: a WebSocket for chat and notifications, server-sent events, polling (docs/realtime.md)."""
