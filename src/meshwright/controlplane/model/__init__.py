"""What the control plane works with: the catalog of the mesh, policies, and the snapshot that is published."""
