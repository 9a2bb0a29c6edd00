"""What a gate is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .scan import Hit
from .verdict import Finding, Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is known beside the text."""

    before: str = ""
    """What the same side said last: phrases that are split between two messages are found."""
    sources: Sequence[str] = ()
    """What an answer must rest on: the retrieved texts."""
    agent: str = ""
    user: str = ""
    session: str = ""
    tool: str = ""
    """The tool, at the two gates of tools."""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its arguments, where something of them is counted."""
    tenant: str = ""
    """Whose counts these are, where one server has several projects."""


@dataclass(slots=True, kw_only=True)
class Subject:
    """One text at one gate, with what has been found out about it."""

    gate: Gate
    text: str
    about: About
    hits: Mapping[str, Sequence[Hit]]
    """What all rules found in one pass, by group."""
    findings: list[Finding] = field(default_factory=list["Finding"])
    """Of the checks before."""
    rewritten: Callable[[], str]
    """The text without what is to be taken out, as far as is known: all that a service outside is shown."""
