"""Looking in: debug pages, and the view of a client."""
