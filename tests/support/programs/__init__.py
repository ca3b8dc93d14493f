"""Programs that tests start with `python -m support.programs.NAME`."""
