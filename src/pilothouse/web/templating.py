"""The templates and the filters they write values with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pilothouse.traces import meanings

from . import filters, format, static_files, visit

FOLDER = Path(__file__).parent / "templates"


def _finalize(value: Any) -> Any:
    """Whatever a template prints: hidden characters are spelled out even where no filter was asked for."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return format.revealed(value)
    return value


def _json_attribute(value: Any) -> str:
    """Plain data for a ``data-`` attribute; escaped like any other value."""
    return json.dumps(value, separators=(",", ":"), default=str)


_MEANINGS = meanings()


def _meaning_of(signal: str) -> str:
    return _MEANINGS.get(signal, "")


@cache
def environment() -> Environment:
    """The templates, made once. Everything is escaped; an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        auto_reload=False,
    )
    # Typed by the library as its own functions' types alone.
    filters_of = cast(dict[str, Any], made.filters)
    filters_of.update(
        {
            "duration": format.duration,
            "money": format.money,
            "count": format.count,
            "tokens": format.tokens,
            "percent": format.percent,
            "size": format.size,
            "visible": format.visible,
            "pretty": format.pretty,
            "gist": format.gist,
            "own_name": format.own_name,
            "json_text": format.json_text,
            "json_line": format.json_line,
            "short_id": format.short_id,
            "clock": format.clock,
            "stamp": format.stamp,
            "data": _json_attribute,
            "trace_url": visit.trace_url,
            "session_url": visit.session_url,
            "agent_url": visit.agent_url,
        }
    )
    globals_of = cast(dict[str, Any], made.globals)
    globals_of.update(
        {
            "filter_term": filters.term,
            "static": static_files.url,
            "link": visit.link,
            "ago": format.ago,
            "plural": format.plural,
            "meaning_of": _meaning_of,
        }
    )
    return made


def render(template: str, **values: Any) -> str:
    """A template as text."""
    return environment().get_template(template).render(**values)
