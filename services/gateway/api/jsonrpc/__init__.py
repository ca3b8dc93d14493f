"""JSON-RPC 2.0: the protocol, and its methods."""
