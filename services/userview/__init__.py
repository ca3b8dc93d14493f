"""The read side (CQRS): views of users, built from the events of several services."""
