"""Each verb of ``pilothouse.traces`` has its place in the API, on the command line and on a page."""

from __future__ import annotations

import pytest

from pilothouse import traces
from pilothouse.cli.root import COMMANDS
from pilothouse.cli.traces import _JSON_FORMS, _PARTS, _TEXT_FORMS
from pilothouse.web.pages import PAGES

from .sources import routes

SURFACES: dict[str, tuple[str, str, str]] = {
    # verb: (GET route below /api/v1, command, page)
    "search": ("/traces", "ls", "/traces"),
    "facets": ("/facets", "ls", "/traces"),
    "heatmap": ("/heatmap", "", "/traces"),
    "resolve": ("/resolve/{id}", "show", "/traces/{id}"),
    "load": ("/traces/{id}", "show --as json", "/traces/{id}"),
    "render": ("/traces/{id}", "show --as tree", "/traces/{id}"),
    "span": ("/traces/{id}/spans/{key}", "show", "/traces/{id}/spans/{key}"),
    "transcript": ("/traces/{id}/transcript", "show --as transcript", "/traces/{id}"),
    "waterfall": ("/traces/{id}/waterfall", "show --as waterfall", "/traces/{id}"),
    "graph": ("/traces/{id}/graph", "show --as graph", "/traces/{id}"),
    "breakdown": ("/traces/{id}/breakdown", "show --as breakdown", "/traces/{id}"),
    "critical_path": ("/traces/{id}/critical-path", "show --as path", "/traces/{id}"),
    "decision": ("/traces/{id}/spans/{key}/decision", "decision", "/traces/{id}/spans/{key}"),
    "decisions": ("/traces/{id}/decisions", "decision", ""),
    "plan": ("/traces/{id}/plan", "show --as plan", "/traces/{id}"),
    "states": ("/traces/{id}/states", "show --as states", "/traces/{id}"),
    "why": ("/traces/{id}/why", "why", "/traces/{id}"),
    "text_search": ("/search", "search", "/traces"),
    "logs": ("/traces/{id}/logs", "logs", "/traces/{id}"),
    "search_logs": ("/logs", "logs", "/logs"),
    "log_facets": ("/logs/facets", "", "/logs"),
    "lost_errors": ("/logs/lost", "logs", "/logs"),
    "sessions": ("/sessions", "sessions", "/sessions"),
    "session": ("/sessions/{id}", "sessions", "/sessions/{id}"),
    "system_map": ("/map", "map", "/map"),
    "levels": ("/levels", "level", "/agents/{agent}"),
    "audit": ("/agents/{agent}/audit", "audit", "/agents/{agent}"),
    "live": ("/live", "live", "/live"),
    "changes": ("/live/changes", "tail", "/live"),
    "fleet": ("/fleet", "fleet", "/fleet"),
    "overview": ("/overview", "overview", "/"),
    "costs": ("/cost", "cost", "/"),
    "context": ("/traces/{id}/context", "context", "/traces/{id}/context"),
    "diff": ("/traces/diff", "diff", "/compare"),
    "cost_why": ("/cost/{id}", "cost why", "/traces/{id}"),
    "doctor": ("/doctor", "doctor", "/doctor"),
    "gateway_traffic": ("/gateway", "gateway", "/gateway"),
    "guard_activity": ("/guard/activity", "guard", "/guards"),
    "stats": ("/stats", "stats", ""),
    "store_stats": ("/store/stats", "store stats", ""),
}

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("decisions", "page"): "the transcript shows what each call said, its pane what it decided",
    ("log_facets", "cli"): "counts beside a list; SQL over the view logs counts by anything",
    ("heatmap", "cli"): "a picture; `ls --sort slowest` and SQL answer the question in text",
    ("stats", "page"): "the overview shows the same numbers with their course",
    ("store_stats", "page"): "an operator's question: asked from the shell and by the metrics endpoint",
}
"""Verbs without a surface, on purpose. The list only shrinks."""

HELPERS = {
    *(
        "as_json",
        "dumps",
        "fit",
        "media_type",
        "money_text",
        "parse_filter",
        "parse_moment",
        "time_range",
        "clean",
        "head",
        "meanings",
        "logs_exist",
    ),
    *("session_text", "render_session", "filter_words", "bucket_seconds"),
}
"""Functions that are no verbs: they have nothing to ask a store."""

VERBS = sorted(
    name
    for name in traces.__all__
    if callable(getattr(traces, name)) and not isinstance(getattr(traces, name), type) and name[0].islower()
)


def test_every_verb_is_on_the_list() -> None:
    assert sorted(set(VERBS) - HELPERS - set(SURFACES)) == []


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb in SURFACES])
def test_a_verb_has_a_route(verb: str) -> None:
    route = SURFACES[verb][0]
    assert f"/api/v1{route}" in routes() or (verb, "api") in EXCEPTIONS


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb in SURFACES])
def test_a_verb_has_a_command(verb: str) -> None:
    words = SURFACES[verb][1].split()
    if not words:
        assert (verb, "cli") in EXCEPTIONS
        return
    assert words[0] in COMMANDS
    if "--as" in words:
        assert words[-1] in {*_TEXT_FORMS, *_JSON_FORMS, *_PARTS}


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb in SURFACES])
def test_a_verb_has_a_page(verb: str) -> None:
    page = SURFACES[verb][2]
    if not page:
        assert (verb, "page") in EXCEPTIONS
        return
    known = {
        path.path.replace("{trace_id", "{id").replace("{session_id", "{id").replace("{step", "{key") for path in PAGES
    }
    assert page in known


def test_exceptions_are_still_needed() -> None:
    for verb, surface in EXCEPTIONS:
        assert verb in SURFACES
        assert SURFACES[verb][{"api": 0, "cli": 1, "page": 2}[surface]] == "", f"{verb} has its {surface} now"
