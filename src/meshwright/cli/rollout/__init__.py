"""Rollouts of a running `up` and of a cluster: `meshwright rollout`, and `kubectl meshwright`."""
