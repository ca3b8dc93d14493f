"""Spans out: Jaeger's query API, versions 1 and 3."""
