"""Orders, stock, accounts and search over REST."""
