"""What model calls decided, for every framework: our recorder's word where it is there, else read from what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import orjson

from pilothouse.records import (
    BadRequest,
    Message,
    Part,
    judge,
    names,
    next_actions,
    part_from_dict,
    prompt_sha256,
    stored_prompt,
    tool_names,
)
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import StoredContent, contents
from pilothouse.store.decision_reads import model_calls, tool_calls
from pilothouse.store.trace_reads import placed_spans

from .detail import message_view, span
from .fields import attribute_text
from .jsons import dumps
from .load import SPANS_MAX, Head, head, number
from .model import Action, Decision, DecisionRow, Decisions, MessageView, SpanDetail
from .text import line

_PAGE_MAX = 1_000
_TEXT_CHARS = 300
_ROW_CHARS = 120
_RAW_KEYS = (
    names.DECISION_RAW,
    "output.value",
    "gcp.vertex.agent.llm_response",
    "mlflow.spanOutputs",
    "langfuse.observation.output",
    "response_data",
    "lmnr.span.output",
    "traceloop.entity.output",
)
"""Attributes in which emitters keep a provider's answer, the most faithful first."""


def decision(store: TraceStore, project: str, trace_id: str, key: str | int) -> Decision:
    """The decision record of one model call, by its step or span id.

    Raises:
        NotFound: the trace has no such step.
        BadRequest: the step is no model call.
    """
    detail = span(store, project, trace_id, key)
    step = detail.span
    if step.kind != "model":
        raise BadRequest(
            "only model calls decide",
            got=f"step {step.step:03d}, {step.kind} {step.label}",
            fix=f"pilothouse decision {trace_id}",
        )
    said = detail.attributes
    prompt = ""
    if detail.input:
        prompt = stored_prompt(_messages(detail.input), [dict(tool) for tool in detail.tools], detail.parameters)
    sha256 = prompt_sha256(prompt) if prompt else ""
    told = str(said.get(names.DECISION_PROMPT_SHA256, ""))
    raw, raw_from = _raw(store, project, detail)
    answer = _messages(detail.output)
    actions = next_actions(answer) if answer else []
    offered = tool_names([dict(tool) for tool in detail.tools])
    valid, reason, judge_name = _verdict(said, actions, detail)
    return Decision(
        trace_id=trace_id,
        step=step.step,
        span_id=step.span_id,
        time=step.start_time,
        agent=step.agent,
        model=step.model,
        status=step.status,
        prompt_sha256=told or sha256,
        prompt_from="recorder" if told else "stored" if sha256 else "",
        prompt_intact=told == sha256 if told and sha256 else None,
        prompt_messages=len(detail.input),
        prompt=prompt,
        raw_response=raw,
        raw_from=raw_from,
        answer=detail.output,
        finish_reason=step.finish_reason,
        actions=_done(store, project, trace_id, step.span_id, actions),
        valid=valid,
        invalid_reason=reason,
        judged_by=judge_name,
        tools_offered=tuple(offered),
        tools_not_chosen=_not_chosen(offered, actions),
        code=detail.code,
    )


def decisions(store: TraceStore, project: str, trace_id: str, *, after_step: int = 0, limit: int = 200) -> Decisions:
    """One page of a trace's decisions: those of the steps after ``after_step``, at most ``limit`` of them."""
    if not 1 <= limit <= _PAGE_MAX:
        raise BadRequest(f"a page of decisions has 1 to {_PAGE_MAX}", got=limit)
    top = head(store, project, trace_id)
    numbers = number(placed_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX))
    calls = _leaves(model_calls(store, project, trace_id, top.stretch, limit=SPANS_MAX))
    later = sorted(
        ((numbers[call["span_id"]], call) for call in calls if numbers.get(call["span_id"], 0) > after_step),
        key=lambda pair: pair[0],
    )
    page = later[:limit]
    found = _stored(store, project, [call for _, call in page])
    return Decisions(
        trace_id=trace_id,
        rows=tuple(_row(step, call, found) for step, call in page),
        next_step=page[-1][0] if len(later) > limit else None,
        total=len(calls),
    )


def _leaves(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Model calls that hold no other one: of a call that two layers record, the inner is nearer to the provider."""
    parents = {call["parent_span_id"] for call in calls}
    return [call for call in calls if call["span_id"] not in parents]


def _stored(store: TraceStore, project: str, calls: Sequence[Mapping[str, Any]]) -> dict[str, StoredContent]:
    """The answers and tool definitions of calls on which nobody has judged yet."""
    unjudged = [call for call in calls if not call["action"]]
    hashes = [ref for call in unjudged for ref in (*call["output_refs"], call["tools_ref"]) if ref]
    return contents(store, project, {call["message_scope"] for call in unjudged}, hashes) if hashes else {}


def _row(step: int, call: Mapping[str, Any], found: Mapping[str, StoredContent]) -> DecisionRow:
    offered = cast("list[str]", list(call["tools_offered"]))
    if call["action"]:
        given = _parsed(call["action"])
        actions = cast("list[Any]", given) if isinstance(given, list) else [given]
        chosen = [cast("dict[str, Any]", action) for action in actions if isinstance(action, dict)]
        valid: bool | None = call["valid"] == "true"
        reason = str(call["reason"])
    else:
        answer = _messages([message_view(ref, found.get(ref)) for ref in call["output_refs"]])
        chosen = next_actions(answer) if answer else []
        definitions: Any = _parsed(found[call["tools_ref"]].content) if call["tools_ref"] in found else []
        verdict = judge(chosen, cast("list[Any]", definitions)) if chosen else None
        valid, reason = (verdict.valid, verdict.reason) if verdict is not None else (None, "")
    return DecisionRow(
        step=step,
        span_id=call["span_id"],
        agent=call["agent"],
        model=call["model"] or call["name"],
        status=call["status"],
        actions=tuple(_told(action, call["output_head"]) for action in chosen),
        valid=valid,
        invalid_reason=reason,
        tools_offered=len(offered),
        tools_not_chosen=_not_chosen(offered, chosen),
        prompt_sha256=call["sha256"],
    )


def _told(action: Mapping[str, Any], output_head: str) -> str:
    """An action in a few words."""
    if action.get("type") == "tool_call":
        arguments = action.get("arguments")
        shown = arguments if isinstance(arguments, str) else dumps(arguments).decode() if arguments else ""
        return line(f"{action.get('tool', '')}({shown})", _ROW_CHARS)
    if action.get("type") == "answer":
        return line(f"answer: {action.get('text') or output_head}", _ROW_CHARS)
    return "none"


def _raw(store: TraceStore, project: str, detail: SpanDetail) -> tuple[str, str]:
    for key in _RAW_KEYS:
        if detail.attributes.get(key):
            return attribute_text(store, project, detail, key), key
    return "", ""


def _verdict(
    said: Mapping[str, Any], actions: Sequence[Mapping[str, Any]], detail: SpanDetail
) -> tuple[bool | None, str, Literal["recorder", "reader", ""]]:
    if names.DECISION_VALID in said:
        return bool(said[names.DECISION_VALID]), str(said.get(names.DECISION_INVALID_REASON, "")), "recorder"
    if not actions:
        ended = detail.span.status == "ok" and detail.span.tokens is not None
        # An answer that ended well and says nothing is a decision for nothing; without content nobody can tell.
        if ended and detail.input:
            return False, "the answer is empty: neither text nor a tool call", "reader"
        return None, "", ""
    verdict = judge(actions, [dict(tool) for tool in detail.tools])
    return verdict.valid, verdict.reason, "reader"


def _done(
    store: TraceStore, project: str, trace_id: str, span_id: str, actions: Sequence[Mapping[str, Any]]
) -> tuple[Action, ...]:
    """The actions, each with the step that carried it out."""
    wanted = [action for action in actions if action["type"] == "tool_call"]
    steps: dict[int, tuple[int, str]] = {}
    if wanted:
        top = head(store, project, trace_id)
        steps = _executions(store, project, top, span_id, wanted)
    made: list[Action] = []
    for action in actions:
        step, outcome = steps.get(id(action), (None, ""))
        made.append(
            Action(
                type=action["type"],
                tool=action.get("tool", ""),
                arguments=action.get("arguments"),
                text=str(action.get("text", ""))[:_TEXT_CHARS],
                call_id=action.get("id", ""),
                step=step,
                outcome=outcome,
            )
        )
    return tuple(made)


def _executions(
    store: TraceStore, project: str, top: Head, span_id: str, wanted: Sequence[Mapping[str, Any]]
) -> dict[int, tuple[int, str]]:
    trace_id = top.row.trace_id
    placed = placed_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    numbers = number(placed)
    starts = dict(zip(placed[0], placed[2], strict=True))
    tools = tool_calls(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    by_id = {tool["tool_call_id"]: tool for tool in reversed(tools) if tool["tool_call_id"]}
    # Without an id it is the first call of that tool after the decision that no other call of ours stands for.
    later = [tool for tool in tools if not tool["tool_call_id"] and tool["start_ns"] >= starts.get(span_id, 0)]
    found: dict[int, tuple[int, str]] = {}
    for action in wanted:
        tool = by_id.get(action["id"]) if action["id"] else None
        if tool is None:
            tool = next((one for one in later if one["tool_name"] == action["tool"]), None)
            if tool is not None:
                later.remove(tool)
        if tool is not None:
            outcome = "soft_error" if tool["soft"] and tool["status"] != "error" else tool["status"]
            found[id(action)] = (numbers[tool["span_id"]], outcome)
    return found


def _not_chosen(offered: Sequence[str], actions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    chosen = {action.get("tool") for action in actions}
    return tuple(tool for tool in dict.fromkeys(offered) if tool not in chosen)


def _messages(views: Sequence[MessageView]) -> list[Message]:
    found: list[Message] = []
    for view in views:
        parts: list[Part] = []
        for part in view.parts:
            try:
                parts.append(part_from_dict(part))
            except TypeError:
                parts.append(Part(type="other", extra=dict(part)))
        found.append(Message(role=view.role, parts=tuple(parts)))
    return found


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
