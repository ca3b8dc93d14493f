"""The real-time API: a WebSocket for chat and notifications, server-sent events, polling.

docs/reference/realtime.md is its reference.
"""
