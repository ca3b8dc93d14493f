"""Config entries, and the discovery chains compiled from them."""
