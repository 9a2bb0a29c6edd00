"""The policy file, ``pilothouse.yaml``: found, read, checked by its schema, given a version, read again when it changes."""

from .file import DEFAULT_NAME, Policy, empty, find, load, read
from .sections import SECTIONS, Section, json_schema
from .watch import Watch, watch

__all__ = [
    "DEFAULT_NAME",
    "SECTIONS",
    "Policy",
    "Section",
    "Watch",
    "empty",
    "find",
    "json_schema",
    "load",
    "read",
    "watch",
]
