"""Runs a plan: instances, their processes, readiness, restarts, logs, and the state on disk."""
