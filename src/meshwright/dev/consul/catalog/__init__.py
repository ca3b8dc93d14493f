"""Nodes, services and checks: the index that everything moves, the rows, and the agent's way into them."""
