"""Versioned rollouts: moving a service from version to version, decided purely and acted on through four ports.

Read `vocabulary` first, then `spec` (what a person asks), `status` (what is remembered), `observed` (what is seen),
`decide` (the state machine) and `engine` (one pass: observe, decide, act). Shells are elsewhere: the operator drives
Deployments, `meshwright up` drives processes.
"""
