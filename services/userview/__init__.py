"""The read side: users as pages show them, put together from the events of several services (CQRS)."""
