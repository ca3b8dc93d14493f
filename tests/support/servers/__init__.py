"""Real servers that tests need, each a process of its own; a test skips where one is unavailable."""
