"""The gateway: REST, JSON-RPC and WebSockets for the services of the mesh."""
