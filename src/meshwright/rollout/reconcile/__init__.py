"""The pure part of a pass: `decide` computes the next status and the actions from spec, status and observed state."""
