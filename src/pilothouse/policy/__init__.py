"""The policy file, ``pilothouse.yaml``: found, read, checked by its schema, given a version, read again when it changes."""

from .file import BYTES_MAX, DEFAULT_NAME, VARIABLE, Policy, empty, find, load, plain, read
from .problems import Problem, Readers, problems, refusal
from .sections import SECTIONS, Section, json_schema
from .watch import Watch, watch

__all__ = [
    "BYTES_MAX",
    "DEFAULT_NAME",
    "SECTIONS",
    "VARIABLE",
    "Policy",
    "Problem",
    "Readers",
    "Section",
    "Watch",
    "empty",
    "find",
    "json_schema",
    "load",
    "plain",
    "problems",
    "read",
    "refusal",
    "watch",
]
