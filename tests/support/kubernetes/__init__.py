"""The chart, the operator and rollouts: emulated, rendered, and on a real cluster."""
