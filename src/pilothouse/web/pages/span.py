"""One step of a trace with all its content: messages, arguments, results, errors, usage, raw attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.records import PilothouseError
from pilothouse.traces.model import CostWhy, Decision, Explained, MessageView, SpanDetail, TraceRow
from pilothouse.web.context import as_plain, told
from pilothouse.web.model import Written
from pilothouse.web.reader import Reader
from pilothouse.web.spans_table import columns_of, kept_columns
from pilothouse.web.visit import PageContext, PageSpec, Visit, number_in, trace_url

from .trace import LATER_FROM, find_trace

RAW_CHARS = 4_000
"""Of a raw answer, what the page shows."""
EARLIER_SHOWN = 2
"""Input messages shown open: the last ones, which the step answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPage(PageContext):
    """One step of a trace."""

    trace_id: str = field(metadata=told("the trace it belongs to"))
    detail: SpanDetail = field(metadata=told("the step with all its content"))
    cost: CostWhy | None = field(
        metadata=told("why it costs what it costs; nothing where it reports no usage, and with part=pane")
    )
    decision: Decision | None = field(
        metadata=told("of a model call: what it decided, and on what; its prompt and raw answer are in the API")
    )
    written: tuple[Written, ...] = field(metadata=told("notes, scores and labels on this step and on the whole trace"))
    may_write: bool = field(metadata=told("true where the visitor may add to them"))
    previous_step: int | None = field(metadata=told("the step before"))
    next_step: int | None = field(metadata=told("the step after"))

    @property
    def url(self) -> str:
        """The address of the trace."""
        return trace_url(self.trace_id)

    @property
    def json_url(self) -> str:
        """All of it, however long."""
        return f"{self.url}/spans/{self.detail.span.step}.json"

    @property
    def earlier(self) -> tuple[MessageView, ...]:
        """The input messages before the last ones."""
        return self.detail.input[:-EARLIER_SHOWN]

    @property
    def latest(self) -> tuple[MessageView, ...]:
        """The last input messages."""
        return self.detail.input[-EARLIER_SHOWN:]

    @property
    def explained(self) -> Explained | None:
        """The numbers behind the cost."""
        return self.cost.spans[0] if self.cost and self.cost.spans else None

    @property
    def facts(self) -> Mapping[str, str]:
        """The short facts that are set."""
        detail = self.detail
        named = {
            "agent": detail.span.agent,
            "version": detail.span.agent_version,
            "model": detail.span.model,
            "asked for": detail.request_model if detail.request_model != detail.span.model else "",
            "provider": detail.span.provider,
            "operation": detail.operation,
            "finish reason": detail.span.finish_reason,
            "prompt": f"{detail.prompt_name} v{detail.prompt_version}".removesuffix(" v") if detail.prompt_name else "",
            "tool call": detail.span.tool_call_id,
            "response": detail.response_id,
            "service": detail.service,
            "feature": detail.feature,
            "dialect": detail.span.dialect,
            "span": detail.span.span_id,
            "code": _code(detail),
        }
        return {name: value for name, value in named.items() if value}

    @property
    def raw(self) -> str:
        """The step as JSON."""
        return json.dumps(as_plain(self.detail), ensure_ascii=False, indent=2)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Request parameters."""
        return self.detail.parameters


def _code(detail: SpanDetail) -> str:
    place = detail.code
    if place is None:
        return ""
    around = f" (step {place.step} around it)" if place.step else " (raised)" if place.found == "stack" else ""
    return f"{place.text} {place.function}".rstrip() + around


def gather(visit: Visit) -> SpanPage:
    """Read one step."""
    trace_id = find_trace(visit, visit.parts["id"])
    step = number_in(visit.parts["step"], "step", at_least=1)
    detail = visit.reader.span(trace_id, step)
    before, after = _neighbours(visit.reader, visit.reader.row(trace_id), step)
    # The pane shows what was said at once and asks for the cost's reasons afterwards: they are slow in a long trace.
    of_cost = visit.text("part") in ("cost", "raw")
    explain = visit.text("part") not in ("pane", "raw") and detail.span.tokens is not None
    return SpanPage(
        title=f"Step {step}: {detail.span.label}",
        command=f"pilothouse show {trace_id[:12]} --step {step}",
        trace_id=trace_id,
        detail=detail,
        cost=_cost(visit.reader, trace_id, step) if explain else None,
        decision=_decision(visit.reader, trace_id, step) if detail.span.kind == "model" and not of_cost else None,
        written=tuple(one for one in visit.reader.written(trace_id=trace_id) if one.step in (None, step))
        if not of_cost
        else (),
        may_write=visit.visitor.mode != "read",
        previous_step=before,
        next_step=after,
    )


def _cost(reader: Reader, trace_id: str, step: int) -> CostWhy | None:
    """The reasons of the cost; nothing where they cannot be told. The step itself is worth showing all the same."""
    try:
        return reader.cost_why(trace_id, step)
    except PilothouseError:
        return None


def _decision(reader: Reader, trace_id: str, step: int) -> Decision | None:
    """The decision without its two long texts, which have addresses of their own; nothing where it cannot be told."""
    try:
        found = reader.decision(trace_id, step)
    except PilothouseError:
        return None
    return replace(found, prompt="", raw_response=found.raw_response[:RAW_CHARS], answer=())


def _neighbours(reader: Reader, row: TraceRow, step: int) -> tuple[int | None, int | None]:
    """The steps before and after. Of a long trace they are taken for granted, unless its columns are at hand."""
    columns = kept_columns(row) if row.spans > LATER_FROM else columns_of(reader, row)
    if columns is None:
        return (step - 1 if step > 1 else None), (step + 1 if step < row.spans else None)
    return columns.neighbour(step, -1), columns.neighbour(step, 1)


SPAN = PageSpec(name="span", path="/traces/{id}/spans/{step}", context=SpanPage, gather=gather, nav="traces")
