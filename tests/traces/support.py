"""Builds traces row by row, as the worker would store them, without needing the worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pilothouse.records import Message, encode_message, iso, text_message
from pilothouse.store import TraceStore
from pilothouse.store.schema import EVENT, MESSAGE, SCORE, SPAN, TOKEN_BUCKETS, TRACE

PROJECT = "prj_test"
MINUTE_NS = 60_000_000_000
NOW_NS = time.time_ns()

_LISTS = ("tags", "tools_offered", "typed_attributes", "notes", "input_refs", "output_refs")
_NUMBERS = ("step", "duration_ns", "usage_ambiguous", "otel_kind", "version")


def trace_id(number: int) -> str:
    """A trace id that sorts and reads well."""
    return f"{number:08x}" + "ab" * 12


def span_id(number: int) -> str:
    """A span id that sorts and reads well."""
    return f"{number:08x}" + "cd" * 4


def stored_time(ns: int) -> str:
    """A moment as the store takes it."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}"


@dataclass
class TraceBuilder:
    """One trace: add spans, then :meth:`store`."""

    id: str
    start_ns: int = NOW_NS - 10 * MINUTE_NS
    project: str = PROJECT
    session: str = ""
    user: str = ""
    environment: str = "production"
    agent: str = "refunds"
    spans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    messages: dict[str, tuple[Message, str]] = field(default_factory=dict[str, tuple[Message, str]])
    values: dict[str, str] = field(default_factory=dict[str, str])
    events: list[list[Any]] = field(default_factory=list[list[Any]])
    scores: list[list[Any]] = field(default_factory=list[list[Any]])

    def span(
        self,
        number: int,
        kind: str,
        name: str = "",
        *,
        parent: int | None = None,
        at_ms: float = 0,
        ms: float = 100,
        input: Sequence[Message] = (),
        output: Sequence[Message] = (),
        tokens: dict[str, int] | None = None,
        cost: str | None = None,
        **columns: Any,
    ) -> str:
        """Add a span. ``tokens`` by bucket makes it a leaf with usage."""
        row: dict[str, Any] = dict.fromkeys(SPAN.column_names, "")
        row.update({key: [] for key in _LISTS}, attributes={}, resource={}, ttft_ns=None, cost_usd=None)
        row.update(dict.fromkeys(_NUMBERS, 0), cost_given_usd=None, dialect="otel", status="ok", service="svc")
        row.update({f"{bucket}_tokens": 0 for bucket in TOKEN_BUCKETS})
        start_ns = self.start_ns + int(at_ms * 1e6)
        row.update(
            project_id=self.project,
            trace_id=self.id,
            span_id=span_id(number),
            parent_span_id=span_id(parent) if parent is not None else "",
            kind=kind,
            name=name or kind,
            start_ns=start_ns,
            start_time=stored_time(start_ns),
            duration_ns=int(ms * 1e6),
            session_id=self.session,
            user_id=self.user,
            environment=self.environment,
            message_scope=self.session or self.id,
            input_refs=[self._put(message, number) for message in input],
            output_refs=[self._put(message, number) for message in output],
        )
        if input:
            row["input_text"] = input[-1].text[:1000]
        if output:
            row["output_text"] = output[-1].text[:1000]
        if tokens is not None:
            row["usage_scope"] = "leaf"
            row.update({f"{bucket}_tokens": count for bucket, count in tokens.items()})
        if cost is not None:
            row.update(cost_usd=cost, cost_source="price book")
        row.update(columns)
        self.spans.append(row)
        return str(row["span_id"])

    def _put(self, message: Message, number: int) -> str:
        self.messages.setdefault(message.hash, (message, span_id(number)))
        return message.hash

    def value(self, digest: str, text: str) -> str:
        """Store a long value and return its reference."""
        self.values[digest] = text
        return digest

    def store(self, store: TraceStore, *, version: int = 1, **columns: Any) -> str:
        """Insert the trace; ``columns`` replace those of its row."""
        store_rows(store, [self.rows(version=version, **columns)])
        return self.id

    def rows(self, *, version: int = 1, **columns: Any) -> dict[str, list[list[Any]]]:
        """What :meth:`store` inserts: the rows of each table."""
        day = iso(self.start_ns)[:10]
        arrival = {"received_at": iso(self.start_ns)[:-1].replace("T", " "), "received_day": day, "version": version}
        for row in self.spans:
            row.update(arrival)
        scope = self.session or self.id
        contents: list[list[Any]] = []
        for digest, (message, said_by) in self.messages.items():
            content, envelope = encode_message(message)
            where = "" if message.role == "system" else scope
            contents.append(
                [self.project, where, digest, "message", message.role, "", content, envelope, self.id, said_by]
            )
        contents += [
            [self.project, scope, digest, "value", "", "", text, "", self.id, ""]
            for digest, text in self.values.items()
        ]
        moment = arrival["received_at"]
        row = {**self._trace_row(), **arrival, **columns}
        return {
            "span": [[row[name] for name in SPAN.column_names] for row in self.spans],
            "message": [[*row, moment, *list(arrival.values())] for row in contents],
            "event": [[*row, *arrival.values()] for row in self.events],
            "score": [[*row, *arrival.values()] for row in self.scores],
            "trace": [[row[name] for name in TRACE.column_names]],
        }

    def event(self, number: int, name: str, **attributes: str) -> None:
        """Add an event to a span."""
        self.events.append(
            [self.project, self.id, span_id(number), len(self.events), stored_time(self.start_ns), name, attributes]
        )

    def score(self, name: str, value: float, *, number: int | None = None) -> None:
        """Judge the trace or a span."""
        where = span_id(number) if number is not None else ""
        self.scores.append(
            [
                *(self.project, self.id, where, "", name, "test", name, value, "", "why"),
                *("", "", "", "", 0, stored_time(self.start_ns)),
            ]
        )

    def _trace_row(self) -> dict[str, Any]:
        spans = self.spans
        counted = [s for s in spans if s["usage_scope"] != "aggregate" and not s["duplicate_of"]]
        costs = [Decimal(s["cost_usd"]) for s in counted if s["cost_usd"] is not None]
        failed = [s for s in spans if s["status"] == "error" or s["tool_error"]]
        root = spans[0]
        end_ns = max(s["start_ns"] + s["duration_ns"] for s in spans)
        return {
            "project_id": self.project,
            "trace_id": self.id,
            "root_span_id": root["span_id"],
            "root_name": root["name"],
            "agent": self.agent,
            "agent_version": root["agent_version"],
            "agents": sorted({s["agent"] for s in spans if s["agent"]}),
            "models": sorted({s["model"] for s in spans if s["model"]}),
            "tools": sorted({s["tool_name"] for s in spans if s["tool_name"]}),
            "dialects": ["otel"],
            "status": "error" if any(s["status"] == "error" for s in spans) else "ok",
            "open": 0,
            "running_spans": 0,
            "start_time": stored_time(min(s["start_ns"] for s in spans)),
            "duration_ns": end_ns - min(s["start_ns"] for s in spans),
            "spans": len(spans),
            "model_calls": sum(s["kind"] == "model" for s in spans),
            "tool_calls": sum(s["kind"] == "tool" for s in spans),
            "errors": len(failed),
            "duplicates": sum(bool(s["duplicate_of"]) for s in spans),
            "orphans": 0,
            **{f"{b}_tokens": sum(s[f"{b}_tokens"] for s in counted) for b in TOKEN_BUCKETS},
            "cost_usd": str(sum(costs, Decimal(0))) if costs else None,
            "cost_unknown": sum(s["usage_scope"] == "leaf" and s["cost_usd"] is None for s in counted),
            "usage_ambiguous": sum(s["usage_ambiguous"] for s in counted),
            "usage_gap": 0,
            "session_id": self.session,
            "user_id": self.user,
            "environment": self.environment,
            "service": "svc",
            "feature": "",
            "tags": [],
            "input_text": root["input_text"],
            "output_text": root["output_text"],
            "first_error": (failed[0]["error_message"] or failed[0]["tool_error"]) if failed else "",
            "signals": ["error"] if failed else [],
            "signal_details": "",
        }


def said(role: str, text: str) -> Message:
    """A message of plain words."""
    return text_message(role, text)


def support_trace(number: int = 1, **fields: Any) -> TraceBuilder:
    """A support agent that looks an order up, fails to refund it once, and answers: six steps."""
    trace = TraceBuilder(trace_id(number), **fields)
    first = number * 100
    user = said("user", f"I want my money back for order {4400 + number}")
    system = said("system", "You are a patient support agent.")
    call = said("assistant", "Let me look that order up.")
    result = said("tool", '{"id": 4411, "status": "delivered"}')
    answer = said("assistant", "A person must approve this refund; I have asked one.")
    trace.span(first + 1, "agent", "invoke refunds", ms=4000, agent="refunds", input=[user], output=[answer])
    usage = {"input_uncached": 300, "cache_read": 1000, "output_text": 40}
    model: dict[str, Any] = {"model": "gpt-x", "provider": "openai", "agent": "refunds", "parent": first + 1}
    trace.span(
        first + 2, "model", "chat gpt-x", at_ms=100, ms=900, input=[system, user], output=[call], tokens=usage,
        cost="0.000632", **model,
    )  # fmt: skip
    trace.span(
        first + 3, "tool", "execute_tool get_order", parent=first + 1, at_ms=1000, ms=200, tool_name="get_order",
        tool_call_id=f"call_{number}", input_text='{"id":4411}', output_text=result.text,
    )  # fmt: skip
    trace.span(
        first + 4, "model", "chat gpt-x", at_ms=1200, ms=1000, input=[system, user, call, result],
        output=[said("assistant", "Now the refund.")], tokens=usage, cost="0.001", **model,
    )  # fmt: skip
    trace.span(
        first + 5, "tool", "execute_tool refund", parent=first + 1, at_ms=2300, ms=300, tool_name="refund",
        status="error", error_type="LimitError", error_message="amount is over the limit", input_text='{"id":4411}',
    )  # fmt: skip
    trace.span(
        first + 6, "model", "chat gpt-x", at_ms=2700, ms=1200, input=[system, user, call, result],
        output=[answer], tokens=usage, cost="0.002", **model,
    )  # fmt: skip
    return trace


def store_rows(store: TraceStore, traces: Sequence[dict[str, list[list[Any]]]]) -> None:
    """Insert the rows of many traces, a table at a time."""
    for table in (SPAN, MESSAGE, EVENT, SCORE, TRACE):
        store.insert(table.name, table.column_names, [row for rows in traces for row in rows[table.name]])
