"""The plan of an `up`: component sources, ports, environments, and the desired instances. Decided before any start."""
