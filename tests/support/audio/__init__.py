"""Signals whose properties are known, and what is measured of the outcome."""
