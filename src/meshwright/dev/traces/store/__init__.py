"""The stored spans: the bounded store, and what is odd about a trace."""
