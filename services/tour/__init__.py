"""A guided tour of the lecture's slides, on a system that is running: `meshwright tour`."""
