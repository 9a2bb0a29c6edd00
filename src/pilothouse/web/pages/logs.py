"""The list of log records, and of the errors in them that no span tells of."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import BadRequest
from pilothouse.traces.model import LogFacet, LogQuery, LogRow, LostError, Page
from pilothouse.web.context import told
from pilothouse.web.setup import Snippet
from pilothouse.web.visit import PageContext, PageSpec, Visit, link
from pilothouse.web.windows import Chosen

ROWS = 100
LEVELS = ("", "info", "warn", "error", "fatal")
SHOWN = ("lines", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsPage(PageContext):
    """The list of log records."""

    window: Chosen = field(metadata=told("the time window shown"))
    show: str = field(metadata=told("lines: all that fit; lost: errors that no span tells of"))
    text: str = field(metadata=told("words that stand together in the line"))
    service: str = field(metadata=told("only of this service"))
    host: str = field(metadata=told("only of this host"))
    level: str = field(metadata=told("at least this level; empty: all"))
    problem: dict[str, Any] | None = field(metadata=told("what is wrong with the question, and the remedy"))
    logs: Page[LogRow] | None = field(metadata=told("with show=lines: the records of this page, newest first"))
    lost: Page[LostError] | None = field(metadata=told("with show=lost: the errors of this page, newest first"))
    facets: tuple[LogFacet, ...] = field(metadata=told("how many records fit, by level, service and host"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))
    ways: tuple[Snippet, ...] = field(metadata=told("how to send logs; only where none was ever stored"))

    @property
    def failure(self) -> dict[str, Any] | None:
        """The problem, where there is one."""
        return self.problem

    @property
    def live(self) -> bool:
        """True where new records would appear at the top of what is shown."""
        return self.window.live and not self.cursor and self.show == "lines" and self.problem is None

    @property
    def more(self) -> str:
        """The cursor of the next page; empty at the end."""
        rows = self.logs or self.lost
        return rows.next if rows else ""

    def here(self, **changed: Any) -> str:
        """The same list with something changed."""
        values: dict[str, Any] = {
            "show": "" if self.show == "lines" else self.show,
            "q": self.text,
            "service": self.service,
            "host": self.host,
            "level": self.level,
        }
        if self.window.choice and not {"since", "until"} & changed.keys():
            values["window"] = self.window.choice
        elif not self.window.choice:
            values.update(since=self.window.since, until=self.window.until)
        return link("/logs", **(values | changed))

    def facet_url(self, field: str, value: str) -> str:
        """The same list with a value of a facet chosen, or let go where it is."""
        if field == "severity":
            word = value.lower()
            return self.here(level="" if self.level == word or word not in LEVELS else word)
        return self.here(**{field: "" if getattr(self, field) == value else value})

    def facet_on(self, field: str, value: str) -> bool:
        """True where the list asks for the value."""
        return (self.level == value.lower() if field == "severity" else getattr(self, field) == value) and bool(value)


def gather(visit: Visit) -> LogsPage:
    """Read one page of log records, and what can be chosen from."""
    window = visit.window()
    show = visit.word("show", SHOWN)
    level = visit.word("level", LEVELS)
    text, service, host = visit.text("q", 500), visit.text("service", 200), visit.text("host", 200)
    cursor = visit.text("cursor")
    asked = LogQuery(
        text=text,
        service=service,
        host=host,
        level=level,
        since_ns=window.since_ns,
        until_ns=window.until_ns,
        limit=visit.number("limit", ROWS, at_least=1, at_most=500),
        cursor=cursor,
    )
    problem: dict[str, Any] | None = None
    logs: Page[LogRow] | None = None
    lost: Page[LostError] | None = None
    facets: tuple[LogFacet, ...] = ()
    try:
        if show == "lost":
            lost = visit.reader.lost_errors(asked)
        else:
            logs = visit.reader.search_logs(asked)
            # A poll for new rows needs no counts.
            facets = () if visit.text("part") == "list" else visit.reader.log_facets(asked)
    except BadRequest as error:
        problem = error.as_dict()
    rows = logs or lost
    nothing = rows is not None and not rows.items and not (text or service or host or level or cursor)
    return LogsPage(
        title="Logs",
        command=_command(show, text, service, host, level, window),
        window=window,
        show=show,
        text=text,
        service=service,
        host=host,
        level=level,
        problem=problem,
        logs=logs,
        lost=lost,
        facets=facets,
        cursor=cursor,
        ways=ways(visit.visitor.otlp_url) if nothing and not visit.reader.logs_exist() else (),
    )


def _command(show: str, text: str, service: str, host: str, level: str, window: Chosen) -> str:
    words = ["pilothouse logs", "lost" if show == "lost" else "search"]
    if show != "lost":
        words += [shlex.quote(text)] if text else []
        for name, value in (("--service", service), ("--host", host), ("--level", level)):
            words += [name, shlex.quote(value)] if value else []
    return " ".join([*words, window.flags])


def ways(url: str) -> tuple[Snippet, ...]:
    """Three ways to send logs to this server."""
    handler = "\n".join(
        (
            "import logging",
            "import pilothouse",
            "",
            f'pilothouse.init(endpoint="{url}")  # the key: PILOTHOUSE_API_KEY',
            "logging.getLogger().addHandler(pilothouse.logging_handler())",
        )
    )
    follow = "\n".join(
        (
            f"export PILOTHOUSE_URL={url} PILOTHOUSE_API_KEY=…",
            "pilothouse logs follow /var/log/shop/*.log --service shop",
            "my-server 2>&1 | pilothouse logs follow - --service my-server",
            "pilothouse logs follow --journald shop.service",
        )
    )
    otlp = "\n".join(
        (
            "# OpenTelemetry Collector: what its receivers read, with the traces beside it",
            "exporters:",
            "  otlphttp/pilothouse:",
            f"    endpoint: {url}",
            "    headers: {authorization: Bearer ${env:PILOTHOUSE_API_KEY}}",
            "service: {pipelines: {logs: {exporters: [otlphttp/pilothouse]}}}",
        )
    )
    return (
        Snippet(
            title="In the program",
            note="Two lines: every record of logging comes with the trace it was written in.",
            code=handler,
        ),
        Snippet(
            title="From files, pipes and journald",
            note="No change to the server that writes them; JSON, logfmt, klog, nginx, syslog and plain lines.",
            code=follow,
        ),
        Snippet(title="Any OTLP exporter", note="Whatever sends OTLP logs already, e.g. a collector.", code=otlp),
    )


LOGS = PageSpec(name="logs", path="/logs", context=LogsPage, gather=gather)
