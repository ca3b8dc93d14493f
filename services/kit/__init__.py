"""What the demo's services share and none of them owns: databases, NATS, events. It is no service."""
