"""What the demo's services share: messaging over NATS, storage in SQL databases, the runtime of a process."""
