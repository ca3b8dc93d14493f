"""The control plane: watches Consul, translates what it knows into xDS, and serves that to gRPC clients and Envoys."""

from meshwright import optional_imports

with optional_imports.explaining("the control plane", "standard"):
    from meshwright.controlplane.serve import Bound, run, serving
    from meshwright.controlplane.settings import ControlPlaneConfig

__all__ = ["Bound", "ControlPlaneConfig", "run", "serving"]
