"""Posting OTLP over HTTP: where to, over which connection, and what an answer means. Standard library only."""
