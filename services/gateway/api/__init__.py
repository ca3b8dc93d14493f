"""The REST and JSON-RPC APIs, one room for each capability: routes, models of requests and responses, a gRPC client."""
