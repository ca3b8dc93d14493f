"""The Lease of each namespace: election, the gate for all writes, and the namespaces that are watched meanwhile."""
