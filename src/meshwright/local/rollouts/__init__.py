"""Rollouts on a running `up`: the rollout engine with processes as workloads."""
