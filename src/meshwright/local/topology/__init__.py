"""Topology files: their format and values (`spec`), parsing, lookup, and placeholders."""
