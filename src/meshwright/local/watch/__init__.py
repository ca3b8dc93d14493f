"""`meshwright up --watch`: restarts what changed."""
