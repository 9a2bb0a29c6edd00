"""Exports: traces as a folder of small files that grep, jq and SQLite read, kept in step with the server."""
