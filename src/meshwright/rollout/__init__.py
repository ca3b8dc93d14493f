"""Versioned rollouts: move a service from version to version, decided by a pure function, carried out through four
ports.

- `api`: the typed model: spec, status, observed state, schema and documents. Start with `api.vocabulary`.
- `analysis`: call metrics and their evaluation. Pure.
- `reconcile`: `decide`, the state machine. Pure.
- `adapters`: Consul traffic, metric sources, Jaeger, trace export.
- `ports`, `engine`: one pass: observe, decide, act. `reconciler`: the loop around it, for one rollout.

The workloads are elsewhere: the operator manages Deployments, `meshwright up` manages processes.
"""
