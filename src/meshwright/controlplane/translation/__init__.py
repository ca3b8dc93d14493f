"""Pure: a catalog becomes a snapshot of checked xDS resources."""
