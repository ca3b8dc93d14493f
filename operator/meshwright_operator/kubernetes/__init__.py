"""The Kubernetes API: requests, Deployments of versions, drift, and the state of their pods."""
