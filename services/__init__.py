"""The demo: the systems of the lecture, one package a process."""
