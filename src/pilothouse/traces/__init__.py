"""Reading traces: search, show, chart, explain. Every verb is a plain function of a store and a project."""

from pilothouse.signals import Rulebook

from .audit import audit
from .charts import FACET_FIELDS, facets, heatmap, overview
from .context import context
from .cost_why import cost_why
from .decisions import decision, decisions
from .detail import span
from .diff import diff
from .doctor import doctor
from .filters import FIELDS, parse_filter
from .fleet import fleet
from .gateway import gateway_traffic
from .graph import graph
from .guards import guard_activity
from .jsons import Cut, as_json, dumps, fit, money_text
from .levels import levels
from .live import live
from .live_changes import changes
from .load import head, load, waterfall
from .logs import logs
from .logs_search import log_facets, logs_exist, lost_errors, search_logs
from .model import DEFAULT_BUDGET, FORMS, SORTS, Form, Sort, TraceQuery
from .paths import breakdown, critical_path
from .plans import plan
from .render import media_type, render
from .resolve import resolve
from .search import search
from .sessions import session, session_text, sessions
from .spending import costs
from .states import states
from .stats import stats, store_stats
from .system_map import system_map
from .text_search import text_search
from .transcripts import transcript
from .why import meanings, why
from .windows import Range, parse_moment, time_range

__all__ = [
    "DEFAULT_BUDGET",
    "FACET_FIELDS",
    "FIELDS",
    "FORMS",
    "SORTS",
    "Cut",
    "Form",
    "Range",
    "Rulebook",
    "Sort",
    "TraceQuery",
    "as_json",
    "audit",
    "breakdown",
    "changes",
    "context",
    "cost_why",
    "costs",
    "critical_path",
    "decision",
    "decisions",
    "diff",
    "doctor",
    "dumps",
    "facets",
    "fit",
    "fleet",
    "gateway_traffic",
    "graph",
    "guard_activity",
    "head",
    "heatmap",
    "levels",
    "live",
    "load",
    "log_facets",
    "logs",
    "logs_exist",
    "lost_errors",
    "meanings",
    "media_type",
    "money_text",
    "overview",
    "parse_filter",
    "parse_moment",
    "plan",
    "render",
    "resolve",
    "search",
    "search_logs",
    "session",
    "session_text",
    "sessions",
    "span",
    "states",
    "stats",
    "store_stats",
    "system_map",
    "text_search",
    "time_range",
    "transcript",
    "waterfall",
    "why",
]
