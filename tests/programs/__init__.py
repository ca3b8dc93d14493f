"""Programs that tests start with `python -m programs.NAME`."""
