"""Spans in: OTLP over gRPC and over HTTP."""
