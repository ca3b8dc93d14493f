"""Signalling: SIP (RFC 3261) as a registrar and proxy.

Messages are parsed and written by aiosipua (docs/decisions/0141-sip-stack.md). In the order in which a request passes:

- `transports`: UDP and TCP, and the guard in front of the parser;
- `guard`: limits and bans by address (pure);
- `transactions`: retransmissions (pure);
- `front`: what a request is for;
- `registrar`: REGISTER, by `digest` (pure) and the use cases of `services.voice.app`.
"""
