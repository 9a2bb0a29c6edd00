"""What the verbs of :mod:`pilothouse.traces` take and give: frozen data whose JSON form is stable.

Moments are ISO 8601 in UTC, durations are milliseconds with their unit in the name, money is Decimal (a string in
JSON). Keys are only ever added, never renamed.
"""

from .charts import Breakdown, BreakdownRow, Facet, FacetValue, Fleet, FleetRow, Heatmap, Overview, Series
from .health import Doctor, Finding, Refused, Stats, StoreStats, TableStats
from .lists import (
    DEFAULT_WINDOW_NS,
    SORTS,
    Hit,
    Page,
    Resolved,
    Session,
    SessionRow,
    Sort,
    Tokens,
    TraceQuery,
    TraceRow,
    Window,
)
from .shapes import AgentGraph, GraphEdge, GraphNode, PathPart, Share, TraceBreakdown, Waterfall
from .spans import (
    DEFAULT_BUDGET,
    FORMS,
    EventView,
    Form,
    MessageView,
    ScoreView,
    Span,
    SpanDetail,
    Trace,
    Transcript,
    TranscriptStep,
)
from .spending import CostRow, Costs, CostWhy, Explained

__all__ = [
    "DEFAULT_BUDGET",
    "DEFAULT_WINDOW_NS",
    "FORMS",
    "SORTS",
    "AgentGraph",
    "Breakdown",
    "BreakdownRow",
    "CostRow",
    "CostWhy",
    "Costs",
    "Doctor",
    "EventView",
    "Explained",
    "Facet",
    "FacetValue",
    "Finding",
    "Fleet",
    "FleetRow",
    "Form",
    "GraphEdge",
    "GraphNode",
    "Heatmap",
    "Hit",
    "MessageView",
    "Overview",
    "Page",
    "PathPart",
    "Refused",
    "Resolved",
    "ScoreView",
    "Series",
    "Session",
    "SessionRow",
    "Share",
    "Sort",
    "Span",
    "SpanDetail",
    "Stats",
    "StoreStats",
    "TableStats",
    "Tokens",
    "Trace",
    "TraceBreakdown",
    "TraceQuery",
    "TraceRow",
    "Transcript",
    "TranscriptStep",
    "Waterfall",
    "Window",
]
