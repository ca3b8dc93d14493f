"""Calls: signalling of WebRTC between connections, and the state of each call that all replicas share.

docs/reference/webrtc.md is its reference. `domain` decides, `store` keeps, `service` acts.
"""
