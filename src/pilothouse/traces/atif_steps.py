"""The steps of an ATIF trajectory, from the steps of a trace: pure functions."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import orjson

from pilothouse.records import iso

from .model import MessageView, ScoreView, Span, Trace, TranscriptStep

VERSION = "ATIF-v1.7"
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A span with its whole content."""

    step: TranscriptStep
    start_ns: int
    end_ns: int
    tools: Sequence[Any] = ()
    """Definitions of the tools a model could choose from."""
    rest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the import of an ATIF file kept of this step, or of the trajectory."""

    @property
    def span(self) -> Span:
        return self.step.span


@dataclass(slots=True)
class _Agent:
    """One agent's trajectory in the making."""

    id: str
    call: Call | None
    """The agent's own span; None for what belongs to no agent."""
    steps: list[Fields] = field(default_factory=list[Fields])
    by_call: dict[str, Fields] = field(default_factory=dict[str, Fields])
    """The step that made a tool call, by the call's id."""
    models: Counter[str] = field(default_factory=Counter[str])
    tools: Sequence[Any] = ()
    children: list[str] = field(default_factory=list[str])
    left_out: Counter[str] = field(default_factory=Counter[str])

    @property
    def rest(self) -> Mapping[str, Any]:
        return self.call.rest if self.call is not None else {}

    @property
    def last(self) -> Fields | None:
        """The newest step of the agent itself."""
        return next((step for step in reversed(self.steps) if step["source"] == "agent"), None)


def trajectory(trace: Trace, calls: Sequence[Call], scores: Sequence[ScoreView]) -> Fields:
    """The trajectory of a trace; agents within agents are embedded."""
    calls = [call for call in calls if not call.span.duplicate_of]
    spans = {call.span.span_id: call for call in calls}
    owners = _owners(spans)
    agents = {call.span.span_id: _Agent(call.span.span_id, call) for call in calls if call.span.kind == "agent"}
    tops = [agent for agent in agents.values() if not owners[agent.id]]
    # One agent holds everything; several, or none, stand below a trajectory of the trace itself.
    root = tops[0] if len(tops) == 1 else _Agent("", None)
    agents[root.id] = root
    for call in calls:
        span = call.span
        owner = agents[owners[span.span_id] or root.id] if span.span_id != root.id else root
        if span.kind == "agent":
            if span.span_id != root.id:
                _delegated(owner, call, spans)
        elif span.kind == "model":
            _called(owner, call)
        elif span.kind in ("tool", "retrieval"):
            _acted(owner, call)
        elif call.rest:
            owner.steps.append(_as_it_came(call))
        else:
            owner.left_out[span.kind] += 1
    document = _document(root, agents, trace)
    if not root.rest:
        document["session_id"] = trace.row.session_id or trace.row.trace_id
        document["trajectory_id"] = trace.row.trace_id
        document["extra"] = {
            "trace_id": trace.row.trace_id,
            "status": trace.row.status,
            **({"scores": [_score(score) for score in scores]} if scores else {}),
        }
    return document


def _owners(spans: Mapping[str, Call]) -> dict[str, str]:
    """For each span the agent it belongs to; an agent belongs to the one around it."""
    owners: dict[str, str] = {}
    for span_id in spans:
        above, seen = spans[span_id].span.parent_span_id, {span_id}
        while above in spans and spans[above].span.kind != "agent" and above not in seen:
            seen.add(above)
            above = spans[above].span.parent_span_id
        owners[span_id] = above if above in spans and above not in seen else ""
    return owners


def _called(agent: _Agent, call: Call) -> None:
    """A model call: what was said before it, then the agent's answer."""
    if call.rest:
        agent.steps.append(_as_it_came(call))
    else:
        for view in call.step.said:
            _heard(agent, view, call)
        agent.steps.append(_answer(call.step.output, call.end_ns))
        _measure(agent.steps[-1], call)
    agent.tools = agent.tools or call.tools
    if call.span.model:
        agent.models[call.span.model] += 1
    for asked in agent.steps[-1].get("tool_calls", ()):
        agent.by_call[asked["tool_call_id"]] = agent.steps[-1]


def _heard(agent: _Agent, view: MessageView, call: Call) -> None:
    if view.role == "assistant":
        step = _answer([view], call.start_ns)
        step["is_copied_context"] = True
        agent.steps.append(step)
        return
    results = [part for part in view.parts if part.get("type") == "tool_result"]
    if results and len(results) == len(view.parts):
        for part in results:
            step = agent.by_call.get(str(part.get("id")))
            if step is not None:
                _observe(step, str(part.get("id")), str(part.get("text", "")))
        return
    source = "system" if view.role in ("system", "developer") else "user"
    agent.steps.append({"timestamp": iso(call.start_ns), "source": source, "message": _message([view])})


def _answer(views: Sequence[MessageView], at_ns: int) -> Fields:
    parts = [part for view in views for part in view.parts]
    step: Fields = {"timestamp": iso(at_ns), "source": "agent", "message": _message(views)}
    thought = "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "reasoning")
    if thought:
        step["reasoning_content"] = thought
    asked: list[Fields] = []
    for part in parts:
        if part.get("type") == "tool_call":
            id = str(part.get("id") or f"call_{len(asked) + 1}")
            while any(one["tool_call_id"] == id for one in asked):
                id += "_"
            name = str(part.get("name", ""))
            asked.append({"tool_call_id": id, "function_name": name, "arguments": _object(part.get("arguments"))})
    if asked:
        step["tool_calls"] = asked
    return step


def _measure(step: Fields, call: Call) -> None:
    span = call.span
    if span.model:
        step["model_name"] = span.model
    step["llm_call_count"] = 1
    metrics: Fields = {}
    if span.tokens is not None:
        tokens = span.tokens
        metrics = {
            "prompt_tokens": tokens.input_total,
            "completion_tokens": tokens.output_total,
            "cached_tokens": tokens.cache_read,
        }
        extra = {"cache_creation_input_tokens": tokens.cache_write, "reasoning_tokens": tokens.reasoning}
        if any(extra.values()):
            metrics["extra"] = {name: value for name, value in extra.items() if value}
    if span.cost_usd is not None:
        metrics["cost_usd"] = float(span.cost_usd)
    if metrics:
        step["metrics"] = metrics
    step["extra"] = _where(span)


def _where(span: Span) -> Fields:
    told: Fields = {"step": span.step, "span_id": span.span_id}
    if span.failed:
        told["error"] = span.error_message or span.tool_error or span.error_type
    return told


def _acted(agent: _Agent, call: Call) -> None:
    """A tool's span is an observation of the call that asked for it; without one it is a dispatch of its own."""
    span = call.span
    step = agent.by_call.get(span.tool_call_id) if span.tool_call_id else _unanswered(agent, span.tool_name)
    id = span.tool_call_id
    if step is None:
        id = id or f"call_{span.step}"
        asked = {"tool_call_id": id, "function_name": span.label, "arguments": _object(call.step.input_value)}
        step = {"timestamp": iso(call.start_ns), "source": "agent", "message": "", "tool_calls": [asked]}
        step |= {"llm_call_count": 0, "extra": _where(span)}
        agent.steps.append(step)
        agent.by_call[id] = step
    elif not id:
        given = {result.get("source_call_id") for result in _results(step)}
        id = next(
            one["tool_call_id"]
            for one in step["tool_calls"]
            if one["function_name"] == span.tool_name and one["tool_call_id"] not in given
        )
    elif "observation" in step and any(result.get("source_call_id") == id for result in _results(step)):
        return
    _observe(step, id, call.step.output_value or span.tool_error or span.error_message, failed=span.failed)


def _unanswered(agent: _Agent, name: str) -> Fields | None:
    step = agent.last
    if step is None:
        return None
    given = {result.get("source_call_id") for result in _results(step)}
    asked: list[Fields] = step.get("tool_calls", [])
    return step if any(one["function_name"] == name and one["tool_call_id"] not in given for one in asked) else None


def _results(step: Fields) -> list[Fields]:
    return step.get("observation", {}).get("results", [])


def _observe(step: Fields, id: str, content: str, *, failed: bool = False) -> None:
    results: list[Fields] = step.setdefault("observation", {"results": []})["results"]
    if any(result.get("source_call_id") == id for result in results):
        return
    results.append({"source_call_id": id, "content": content, **({"extra": {"is_error": True}} if failed else {})})


def _delegated(owner: _Agent, call: Call, spans: Mapping[str, Call]) -> None:
    """An agent within: embedded, and referred to where it was called."""
    owner.children.append(call.span.span_id)
    id = str(call.rest.get("trajectory_id") or call.span.span_id)
    above = spans.get(call.span.parent_span_id)
    while above is not None and above.span.kind not in ("tool", "agent"):
        above = spans.get(above.span.parent_span_id)
    asked = above.span.tool_call_id if above is not None and above.span.kind == "tool" else ""
    step = owner.by_call.get(asked) if asked else None
    step = step or owner.last
    if step is None:
        if owner.rest:
            return
        step = cast("Fields", {"timestamp": iso(call.start_ns), "source": "system", "message": ""})
        owner.steps.append(step)
    results: list[Fields] = step.setdefault("observation", {"results": []})["results"]
    if any(one.get("trajectory_id") == id for result in results for one in result.get("subagent_trajectory_ref") or ()):
        return
    if owner.rest:
        # It came without a reference, and goes without one.
        return
    place = next((result for result in results if asked and result.get("source_call_id") == asked), None)
    if place is None:
        known = {one["tool_call_id"] for one in step.get("tool_calls", ())}
        place = cast("Fields", {"source_call_id": asked} if asked in known else {})
        results.append(place)
    references: list[Fields] = place.setdefault("subagent_trajectory_ref", [])
    references.append({"trajectory_id": id})


def _as_it_came(call: Call) -> Fields:
    """A step of an imported trajectory: what the span holds, and what the import kept beside it."""
    step: Fields = {**_answer(call.step.output, call.end_ns), **call.rest}
    if "message" not in call.rest and not call.step.output:
        step["message"] = call.step.output_value
    if "timestamp" not in call.rest:
        del step["timestamp"]
    return step


def _document(agent: _Agent, agents: Mapping[str, _Agent], trace: Trace) -> Fields:
    rest = agent.rest
    steps = _ordered(agent)
    span = agent.call.span if agent.call is not None else None
    told: Fields = {"schema_version": VERSION}
    if agent.call is not None and not rest:
        told["trajectory_id"] = agent.id
    name = (span.agent or span.name if span is not None else trace.row.agent) or "agent"
    about: Fields = {"name": name, "version": (span.agent_version if span is not None else "") or "unknown"}
    if agent.models:
        about["model_name"] = agent.models.most_common(1)[0][0]
    if agent.tools:
        about["tool_definitions"] = [_definition(tool) for tool in agent.tools]
    told["agent"] = about
    if agent.left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(agent.left_out.items()))
        told["notes"] = f"left out, as ATIF has no place for them: spans of kind {kinds}"
    told["steps"] = [{"step_id": number, **_without(step, "step_id")} for number, step in enumerate(steps, 1)]
    if not rest:
        told["final_metrics"] = _totals(steps)
    told |= _without(rest, "steps")
    embedded = [_document(agents[id], agents, trace) for id in agent.children]
    if embedded:
        told["subagent_trajectories"] = embedded
    return told


def _ordered(agent: _Agent) -> list[Fields]:
    kept = agent.rest.get("steps")
    if isinstance(kept, list):
        came = [cast("Fields", step) for step in cast("list[Any]", kept) if isinstance(step, dict)]
        steps = sorted([*came, *agent.steps], key=lambda step: step.get("step_id") or 0)
    else:
        steps = agent.steps
    if steps:
        return steps
    call = agent.call
    if call is None:
        return [{"source": "system", "message": ""}]
    asked, said = call.step.input_value, call.step.output_value
    asked = asked or "\n".join(view.text for view in call.step.said if view.text)
    said = said or "\n".join(view.text for view in call.step.output if view.text)
    return [
        {"timestamp": iso(call.start_ns), "source": "user", "message": asked},
        {"timestamp": iso(call.end_ns), "source": "agent", "message": said, "extra": _where(call.span)},
    ]


def _totals(steps: Sequence[Fields]) -> Fields:
    metrics: list[Fields] = [step["metrics"] for step in steps if step.get("metrics")]
    told: Fields = {"total_steps": len(steps)}
    for total, name in (
        ("total_prompt_tokens", "prompt_tokens"),
        ("total_completion_tokens", "completion_tokens"),
        ("total_cached_tokens", "cached_tokens"),
    ):
        if any(name in one for one in metrics):
            told[total] = sum(one.get(name, 0) for one in metrics)
    if any("cost_usd" in one for one in metrics):
        told["total_cost_usd"] = float(sum((Decimal(str(one.get("cost_usd", 0))) for one in metrics), Decimal(0)))
    return told


def _message(views: Iterable[MessageView]) -> str | list[Fields]:
    """Text, or text and images in order where there are images that stand somewhere."""
    parts: list[Fields] = []
    for view in views:
        for part in view.parts:
            if part.get("type") == "text":
                parts.append({"type": "text", "text": str(part.get("text", ""))})
            elif part.get("type") == "media":
                parts.append(_media(part))
    if any(part["type"] == "image" for part in parts):
        return parts
    return "\n".join(part["text"] for part in parts)


def _media(part: Mapping[str, Any]) -> Fields:
    mime, uri = str(part.get("mime", "")), str(part.get("uri", ""))
    if mime in _IMAGES and uri and not uri.startswith("data:"):
        return {"type": "image", "source": {"media_type": mime, "path": uri}}
    # Base64 has no place in a trajectory: the format keeps images beside the file.
    shown = f"{len(uri):,} characters of base64" if uri.startswith("data:") else uri
    return {"type": "text", "text": f"[{mime or 'media'}: {shown}]"}


def _definition(tool: Any) -> Fields:
    told = cast("Fields", tool) if isinstance(tool, dict) else {"name": str(tool)}
    if told.get("type") == "function" and isinstance(told.get("function"), dict):
        return told
    inner = told.get("definition")
    told = cast("Fields", inner) if isinstance(inner, dict) else told
    if isinstance(told.get("function"), dict):
        return {"type": "function", "function": told["function"]}
    shape = told.get("parameters") or told.get("input_schema") or told.get("inputSchema") or {"type": "object"}
    function = {"name": str(told.get("name", "")), "description": str(told.get("description", "")), "parameters": shape}
    return {"type": "function", "function": function}


def _object(value: Any) -> Fields:
    """Arguments as an object, which the format asks for."""
    if isinstance(value, str):
        with contextlib.suppress(orjson.JSONDecodeError):
            value = orjson.loads(value)
    if isinstance(value, dict):
        return cast("Fields", value)
    return {} if value in (None, "") else {"value": value}


def _score(score: ScoreView) -> Fields:
    told: Fields = {"name": score.name}
    if score.value is not None:
        told["value"] = score.value
    return {**told, **({"label": score.label} if score.label else {})}


def _without(value: Mapping[str, Any], *left_out: str) -> Fields:
    return {name: member for name, member in value.items() if name not in left_out}
