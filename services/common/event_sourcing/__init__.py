"""Event sourcing: events with versions and upcasters, their store with snapshots and past states."""
