"""Questions in SQL over the documented views."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from pilothouse.records import PilothouseError, is_hex
from pilothouse.web.context import told
from pilothouse.web.format import json_line, visible
from pilothouse.web.model import SqlResult, SqlTable
from pilothouse.web.visit import PageContext, PageSpec, Visit, link, trace_url

CELL_MAX = 400
"""Characters of a value that a cell shows."""
STATEMENT_MAX = 6_000
"""Characters: it travels in the address, so that an answer can be shared as a link."""

EXAMPLES: tuple[tuple[str, str], ...] = (
    (
        "Dearest agents this week",
        "SELECT agent, count() AS traces, round(sum(cost_usd), 4) AS usd, round(quantile(0.95)(duration_ms)) AS p95_ms\n"
        "FROM traces WHERE start_time > now() - INTERVAL 7 DAY\nGROUP BY agent ORDER BY usd DESC",
    ),
    (
        "Tools by failure share",
        "SELECT tool_name, count() AS calls, round(countIf(status = 'error' OR tool_error != '') / calls, 3) AS failed,\n"
        "       round(quantile(0.95)(duration_ms)) AS p95_ms\n"
        "FROM spans WHERE kind = 'tool' GROUP BY tool_name ORDER BY failed DESC LIMIT 20",
    ),
    (
        "Share of input read from cache, by model",
        "SELECT model, sum(cache_read_tokens) AS cached, sum(input_uncached_tokens) AS fresh,\n"
        "       round(cached / (cached + fresh), 3) AS share\n"
        "FROM spans WHERE usage_scope = 'leaf' AND duplicate_of = ''\n"
        "GROUP BY model ORDER BY cached + fresh DESC",
    ),
    (
        "Where a word was said",
        "SELECT time, trace_id, role, substring(content, 1, 160) AS words\n"
        "FROM messages WHERE hasAllTokens(content, 'refund') ORDER BY time DESC LIMIT 50",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPage(PageContext):
    """A question in SQL and its answer."""

    statement: str = field(metadata=told("the statement; empty before the first"))
    result: SqlResult | None = field(metadata=told("the answer"))
    problem: dict[str, Any] | None = field(metadata=told("why there is no answer, and the remedy"))
    tables: tuple[SqlTable, ...] = field(metadata=told("the views one can ask, with their columns"))

    @property
    def failure(self) -> dict[str, Any] | None:
        """The problem, where there is one."""
        return self.problem

    @property
    def examples(self) -> list[tuple[str, str]]:
        """Titles and addresses of example questions."""
        return [(title, link("/sql", query=statement)) for title, statement in EXAMPLES]

    def cell(self, column: int, value: Any) -> str | Markup:
        """A value of the answer: ids of traces are links, everything else is plain text."""
        if value is None:
            return Markup('<span class="muted">NULL</span>')
        if isinstance(value, float):
            text = f"{value:.10g}"
        else:
            text = str(value) if isinstance(value, (Decimal, int)) else json_line(value)
        name = self.result.columns[column] if self.result else ""
        if name == "trace_id" and is_hex(text, 32):
            return Markup('<a class="mono" href="{}">{}</a>').format(trace_url(text), text)
        return visible(text if len(text) <= CELL_MAX else f"{text[:CELL_MAX]}…")

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers: they are set to the right."""
        if self.result is None:
            return ()
        return tuple(
            any(isinstance(row[i], (int, float, Decimal)) for row in self.result.rows[:20])
            for i in range(len(self.result.columns))
        )


def gather(visit: Visit) -> SqlPage:
    """Run the statement of the address."""
    statement = visit.text("query", STATEMENT_MAX).strip()
    result: SqlResult | None = None
    problem: dict[str, Any] | None = None
    if statement:
        try:
            result = visit.reader.sql(statement)
        except PilothouseError as error:
            problem = error.as_dict()
    return SqlPage(
        title="SQL",
        command=f"pilothouse sql {shlex.quote(statement)}" if statement else "pilothouse sql --schema",
        statement=statement,
        result=result,
        problem=problem,
        tables=visit.reader.sql_schema(),
    )


SQL = PageSpec(name="sql", path="/sql", context=SqlPage, gather=gather)
