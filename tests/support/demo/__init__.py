"""The demo's services, in one process or as real ones, and who uses them."""
