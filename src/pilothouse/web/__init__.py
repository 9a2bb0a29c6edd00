"""The pages: rendered on the server, useful before any script runs, each also as JSON and Markdown."""

from .model import JobSteps, Refusals, SqlColumn, SqlResult, SqlTable
from .reader import Provider, Reader, Visitor
from .respond import SECURITY_HEADERS
from .site import build, not_found_handler

__all__ = [
    "SECURITY_HEADERS",
    "JobSteps",
    "Provider",
    "Reader",
    "Refusals",
    "SqlColumn",
    "SqlResult",
    "SqlTable",
    "Visitor",
    "build",
    "not_found_handler",
]
