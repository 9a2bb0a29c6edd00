"""The page of something that went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.records import PilothouseError
from pilothouse.web.context import told
from pilothouse.web.format import json_line

TITLES = {
    400: "That cannot be asked",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    413: "Too large",
    429: "Too busy",
    503: "Not available now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """What went wrong, with which value, and what to do next."""

    title: str = field(metadata=told("the kind of error in words"))
    status: int = field(metadata=told("the HTTP status"))
    kind: str = field(metadata=told("the kind of error, as in every surface"))
    message: str = field(metadata=told("what happened"))
    got: str = field(metadata=told("the value it happened with"))
    allowed: str = field(metadata=told("what would have been right"))
    fix: str = field(metadata=told("what to do next"))

    @classmethod
    def of(cls, error: PilothouseError) -> ErrorPage:
        """The page of an error."""
        return cls(
            title=TITLES.get(error.http_status, "Something broke here"),
            status=error.http_status,
            kind=error.kind,
            message=error.message,
            got="" if error.got is None else json_line(error.got)[:300],
            allowed="" if error.allowed is None else json_line(error.allowed)[:600],
            fix=error.fix or "",
        )
