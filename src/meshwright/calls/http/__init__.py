"""The HTTP side of a gateway: what is done around a call, done around an HTTP request."""
