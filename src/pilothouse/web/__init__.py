"""The pages: rendered on the server, useful before any script runs, each also as JSON and Markdown."""

from . import approve
from .model import (
    AnalysisList,
    AnalysisShown,
    ApprovalQueue,
    ApprovalRow,
    ApprovalShown,
    CheckShown,
    GatewayShown,
    GuardsShown,
    JobSteps,
    PolicyChecked,
    PolicyShown,
    QueueShown,
    Refusals,
    SqlColumn,
    SqlResult,
    SqlTable,
    Written,
)
from .reader import Provider, Reader, Visitor, Writer
from .respond import SECURITY_HEADERS
from .site import build, not_found_handler

__all__ = [
    "SECURITY_HEADERS",
    "AnalysisList",
    "AnalysisShown",
    "ApprovalQueue",
    "ApprovalRow",
    "ApprovalShown",
    "CheckShown",
    "GatewayShown",
    "GuardsShown",
    "JobSteps",
    "PolicyChecked",
    "PolicyShown",
    "Provider",
    "QueueShown",
    "Reader",
    "Refusals",
    "SqlColumn",
    "SqlResult",
    "SqlTable",
    "Visitor",
    "Writer",
    "Written",
    "approve",
    "build",
    "not_found_handler",
]
