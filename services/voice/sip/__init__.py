"""Signalling: SIP (RFC 3261) as a registrar and proxy.

Messages are parsed and written by aiosipua (docs/decisions/0141-sip-stack.md). In the order in which a request passes:

- `transports`: UDP and TCP, and bounds on connections;
- `guard`: limits and bans by address (pure);
- `front`: the parser, and what a message is for;
- `transactions`: repetitions of requests other than INVITE (pure);
- `authentication`, by `digest` (pure), and `registrar`: REGISTER;
- `calls`: everything else.
"""
