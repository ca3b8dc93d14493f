"""The kopf shell of the rollout engine: handlers and the Kubernetes adapter live here, decisions do not."""
