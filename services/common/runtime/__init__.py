"""A service's process: its entry point, tasks, errors, ids, authorization and trace context."""
