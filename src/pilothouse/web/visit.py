"""One visit of one page: the request as plain values, and what every page's context has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from pilothouse.records import BadRequest

from .context import told
from .reader import Reader, Visitor
from .windows import Chosen, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a page is made from."""

    visitor: Visitor
    now_ns: int
    path: str
    """The address without the suffix of a twin."""
    parts: Mapping[str, str]
    """The variable parts of the path, e.g. ``{"id": "ab12…"}``."""
    params: Mapping[str, str]
    """The query string; the last of equal names."""

    @property
    def reader(self) -> Reader:
        """The reading verbs of the visitor's project."""
        return self.visitor.reader

    def text(self, name: str, limit: int = 2000) -> str:
        """A parameter as text, cut at its limit."""
        return self.params.get(name, "")[:limit]

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        """A parameter that is one of a few words; the first where it is absent."""
        value = self.params.get(name, "")
        if not value:
            return allowed[0]
        if value not in allowed:
            raise BadRequest(f"'{name}' is none of the known words", got=value, allowed=list(allowed))
        return value

    def number(self, name: str, default: int, *, at_least: int = 0, at_most: int = 1_000_000_000) -> int:
        """A parameter that is a whole number within bounds."""
        value = self.params.get(name, "")
        return number_in(value, name, at_least, at_most) if value else default

    def window(self) -> Chosen:
        """The time window asked for."""
        return choose(self.text("window"), self.text("since"), self.text("until"), self.now_ns)


def number_in(text: str, name: str, at_least: int = 0, at_most: int = 1_000_000_000) -> int:
    """A whole number within bounds, or BadRequest."""
    # isdecimal alone would take digits of every script, and int() thousands of them.
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and at_least <= int(text) <= at_most):
        raise BadRequest(f"'{name}' is a whole number", got=text[:40], allowed=f"{at_least} to {at_most}")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """What every page has."""

    title: str = field(metadata=told("what the page is about"))
    command: str = field(metadata=told("the command line that gives the same"))

    @property
    def failure(self) -> Mapping[str, Any] | None:
        """What is wrong with the question, where the page shows it in place; its twins then are that error."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSpec:
    """One page: where it is, what it is made from, how it is drawn."""

    name: str
    """The noun; also the template's name."""
    path: str
    """The route, e.g. ``/traces/{id}``."""
    context: type[PageContext]
    gather: Callable[[Visit], PageContext]
    nav: str = ""
    """The entry of the side bar it belongs to."""
    tail: bool = False
    """True where the last part of the path may hold any character, slashes included."""


def link(path: str, **params: Any) -> str:
    """An address from a path and the parameters that are set."""
    chosen = {name: str(value) for name, value in params.items() if value not in ("", None)}
    return f"{path}?{urlencode(chosen)}" if chosen else path


def trace_url(trace_id: str) -> str:
    """The page of a trace."""
    return f"/traces/{quote(trace_id, safe='')}"


def agent_url(agent: str, **params: Any) -> str:
    """The page of an agent, whose name may hold anything."""
    # Without the word, a name that ends like a twin would be taken for one.
    form = "html" if agent.endswith((".json", ".md")) else ""
    return link(f"/agents/{quote(agent, safe='')}", format=form, **params)


def session_url(session_id: str) -> str:
    """The page of a session, whose id may hold anything."""
    address = f"/sessions/{quote(session_id, safe='')}"
    # Without the word, an id that ends like a twin would be taken for one.
    return f"{address}?format=html" if session_id.endswith((".json", ".md")) else address
