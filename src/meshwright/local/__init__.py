"""`meshwright up`: runs a topology file as processes.

`topology` -> `planner` -> `supervisor` -> `rollouts` -> `control_api`; `up` wires them, `components` runs the mesh's
own processes, and `mesh` is what commands use to reach a running mesh.
"""
