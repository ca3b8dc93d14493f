"""The voice service in a test's process, and telephones in front of it."""
