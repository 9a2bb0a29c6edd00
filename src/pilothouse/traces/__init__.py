"""Reading traces: search, show, chart, explain. Every verb is a plain function of a store and a project."""

from .detail import span
from .filters import FIELDS, parse_filter
from .graph import graph
from .jsons import Cut, as_json, dumps, fit, money_text
from .load import load, waterfall
from .model import DEFAULT_BUDGET, FORMS, SORTS, Form, Sort, TraceQuery
from .paths import breakdown, critical_path
from .render import media_type, render
from .resolve import resolve
from .search import search
from .transcripts import transcript
from .windows import Range, parse_moment, time_range

__all__ = [
    "DEFAULT_BUDGET",
    "FIELDS",
    "FORMS",
    "SORTS",
    "Cut",
    "Form",
    "Range",
    "Sort",
    "TraceQuery",
    "as_json",
    "breakdown",
    "critical_path",
    "dumps",
    "fit",
    "graph",
    "load",
    "media_type",
    "money_text",
    "parse_filter",
    "parse_moment",
    "render",
    "resolve",
    "search",
    "span",
    "time_range",
    "transcript",
    "waterfall",
]
