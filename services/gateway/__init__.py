"""The way in: REST for the services of the mesh."""
