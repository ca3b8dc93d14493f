"""The server's side of a call: around each handler."""
