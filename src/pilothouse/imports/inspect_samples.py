"""One sample of an Inspect log as a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .reading import count, fields, items, lasting_ns, moment_ns, number, word, words_of
from .said import Part, Said, call_part, dumps, media_part, reasoning_part, result_part, said, text_part
from .trajectory import Item, Scored, Step, Tokens

_ATTACHMENT = "attachment://"
_MILLISECOND = 1_000_000
_DEPTH_MAX = 20
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partly, incorrect, no answer: as Inspect counts them."""
_KINDS = {"agent": "agent", "scorer": "evaluator"}
"""Spans that become steps; the others only group what is in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What all samples of a log share."""

    id: str
    task: str
    version: str
    model: str
    tags: tuple[str, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Evaluation:
        """From a log's ``eval``."""
        return cls(
            id=word(told.get("eval_id")) or word(told.get("run_id")) or word(told.get("task_id")),
            task=word(told.get("task_display_name")) or word(told.get("task")) or "inspect",
            version=word(told.get("task_version")),
            model=word(told.get("model")),
            tags=tuple(name for tag in items(told.get("tags")) if (name := word(tag)))[:20],
        )


@dataclass(slots=True)
class _Sample:
    """A sample while it is read."""

    evaluation: Evaluation
    trace: str
    attachments: Mapping[str, Any]
    pool: Sequence[Any]
    start_ns: int
    parents: dict[str, str] = field(default_factory=dict[str, str])
    """For each span of the log the step it belongs to."""
    agents: dict[str, str] = field(default_factory=dict[str, str])
    """The name of each agent's step."""
    encoded: dict[int, Said] = field(default_factory=dict[int, Said])
    """Messages of the pool, encoded once."""
    last_ns: int = 0
    open: dict[str, Step] = field(default_factory=dict[str, Step])
    """Spans that have begun and not ended."""


def sample_steps(evaluation: Evaluation, told: Mapping[str, Any], modified_ns: int) -> Iterator[Item]:
    """The steps and scores of one sample."""
    events = [fields(event) for event in items(told.get("events")) if fields(event)]
    own = word(told.get("uuid")) or f"{evaluation.id}\0{word(told.get('id'))}\0{count(told.get('epoch'))}"
    data = fields(told.get("events_data"))
    times = [ns for event in events if (ns := moment_ns(event.get("timestamp")))]
    start = moment_ns(told.get("started_at")) or (min(times) if times else modified_ns)
    sample = _Sample(
        evaluation=evaluation,
        trace=own,
        attachments=fields(told.get("attachments")),
        pool=items(data.get("messages")) or items(told.get("message_pool")),
        start_ns=start,
        agents={"sample": evaluation.task},
        last_ns=start,
    )
    calls = any(event.get("event") == "model" for event in events)
    for position, event in enumerate(events):
        yield from _event(sample, event, position)
    for begun in sample.open.values():
        yield replace(begun, end_ns=max(sample.last_ns, begun.start_ns))
    if not calls:
        yield from _from_messages(sample, told)
    ends = moment_ns(told.get("completed_at"))
    end = max(ends, sample.last_ns, start)
    error = fields(told.get("error"))
    yield Step(
        trace=sample.trace,
        id="sample",
        kind="agent",
        start_ns=start,
        end_ns=end,
        agent=evaluation.task,
        agent_version=evaluation.version,
        session=evaluation.id,
        tags=evaluation.tags,
        input_value=_asked(sample, told.get("input")),
        output_value=_completion(sample, fields(told.get("output"))),
        tokens=_total(fields(told.get("model_usage"))) if not calls else None,
        error=words_of(error.get("message")),
        error_type="sample_error" if error else "",
        attributes={
            "inspect.sample.id": word(told.get("id")),
            "inspect.sample.epoch": count(told.get("epoch")),
            "inspect.target": words_of(told.get("target")),
            "inspect.limit": word(fields(told.get("limit")).get("type")),
        },
    )
    for name, score in fields(told.get("scores")).items():
        yield from _scores(sample, name, fields(score), end)


def _event(sample: _Sample, event: Mapping[str, Any], position: int) -> Iterator[Item]:
    at = moment_ns(event.get("timestamp")) or sample.last_ns + _MILLISECOND
    ends = moment_ns(event.get("completed"))
    sample.last_ns = max(sample.last_ns, at, ends)
    match event.get("event"):
        case "span_begin":
            parent = sample.parents.get(word(event.get("parent_id")), "sample")
            id = word(event.get("id")) or word(event.get("span_id"))
            kind = _KINDS.get(word(event.get("type")))
            if kind is None or not id:
                sample.parents[id] = parent
                return
            step = f"span:{id}"
            sample.parents[id] = step
            name = word(event.get("name"))
            sample.agents[step] = name if kind == "agent" else sample.agents.get(parent, sample.evaluation.task)
            sample.open[id] = Step(
                trace=sample.trace,
                id=step,
                parent=parent,
                kind="agent" if kind == "agent" else "evaluator",
                name="" if kind == "agent" else f"scorer {name}".strip(),
                start_ns=at,
                end_ns=at,
                agent=sample.agents[step],
                agent_id=id if kind == "agent" else "",
                session=sample.evaluation.id,
            )
        case "span_end":
            begun = sample.open.pop(word(event.get("id")), None)
            if begun is not None:
                yield replace(begun, end_ns=max(at, begun.start_ns))
        case "model":
            yield _model(sample, event, position, at, ends)
        case "tool":
            yield _tool(sample, event, position, at, ends)
        case _:
            return


def _model(sample: _Sample, event: Mapping[str, Any], position: int, at: int, ends: int) -> Step:
    parent = sample.parents.get(word(event.get("span_id")), "sample")
    output = fields(event.get("output"))
    choice = fields(next(iter(items(output.get("choices"))), None))
    taken = lasting_ns(output.get("time")) or lasting_ns(event.get("working_time"))
    provider, _, model = word(event.get("model")).rpartition("/")
    usage = fields(output.get("usage"))
    answer = fields(choice.get("message"))
    stop = word(choice.get("stop_reason"))
    said_before = [message for one in _input(sample, event) if (message := one)]
    tools = items(event.get("tools"))
    return Step(
        trace=sample.trace,
        id=f"model:{word(event.get('uuid')) or position}",
        parent=parent,
        kind="model",
        start_ns=at,
        end_ns=max(ends or at + taken, at),
        agent=sample.agents.get(parent, sample.evaluation.task),
        session=sample.evaluation.id,
        model=word(output.get("model")) or model,
        provider=provider.split("/")[-1],
        finish_reason=stop,
        input=tuple(said_before),
        output=(_said(sample, answer, stop),) if answer else (),
        tools=dumps([_definition(tool) for tool in map(fields, tools)]) if tools else b"",
        # What Inspect took from its own cache was not asked of the provider.
        tokens=None if event.get("cache") == "read" else _tokens(usage, provider),
        cost_usd=number(usage.get("total_cost")),
        error=words_of(event.get("error")) or words_of(output.get("error")),
        error_type="model_error" if event.get("error") or output.get("error") else "",
    )


def _tool(sample: _Sample, event: Mapping[str, Any], position: int, at: int, ends: int) -> Step:
    parent = sample.parents.get(word(event.get("span_id")), "sample")
    taken = lasting_ns(event.get("working_time"))
    error = fields(event.get("error"))
    given = _resolved(sample, event.get("result"))
    texts = [words_of(fields(piece).get("text")) for piece in items(given)]
    output = "\n".join(text for text in texts if text) if texts and any(texts) else words_of(given)
    return Step(
        trace=sample.trace,
        id=f"tool:{word(event.get('uuid')) or word(event.get('id')) or position}",
        parent=parent,
        kind="tool",
        start_ns=at,
        end_ns=max(ends or at + taken, at),
        agent=sample.agents.get(parent, sample.evaluation.task),
        session=sample.evaluation.id,
        tool=word(event.get("function")),
        call_id=word(event.get("id")),
        input_value=words_of(_resolved(sample, event.get("arguments"))),
        output_value=output,
        tool_error=(words_of(error.get("message")) or word(error.get("type")) or "failed") if error else "",
    )


def _input(sample: _Sample, event: Mapping[str, Any]) -> Iterator[Said]:
    for message in map(fields, items(event.get("input"))):
        if message:
            yield _said(sample, message)
    if items(event.get("input")):
        return
    for reference in items(event.get("input_refs")):
        bounds = items(reference)
        first, end = (
            (count(bounds[0]), count(bounds[1])) if len(bounds) == 2 else (count(reference), count(reference) + 1)
        )
        for place in range(first, min(end, len(sample.pool))):
            if place not in sample.encoded:
                sample.encoded[place] = _said(sample, fields(sample.pool[place]))
            yield sample.encoded[place]


def _from_messages(sample: _Sample, told: Mapping[str, Any]) -> Iterator[Item]:
    """A log without events: every answer among the messages is a call, without usage of its own."""
    so_far: list[Said] = []
    calls: dict[str, Mapping[str, Any]] = {}
    at = sample.start_ns
    for position, message in enumerate(map(fields, items(told.get("messages")))):
        if not message:
            continue
        at += _MILLISECOND
        encoded = _said(sample, message)
        if message.get("role") == "assistant":
            yield Step(
                trace=sample.trace,
                parent="sample",
                agent=sample.evaluation.task,
                id=f"message:{position}",
                kind="model",
                start_ns=at,
                end_ns=at,
                session=sample.evaluation.id,
                model=word(message.get("model")) or sample.evaluation.model.rpartition("/")[2],
                input=tuple(so_far),
                output=(encoded,),
            )
            calls |= {word(call.get("id")): call for call in map(fields, items(message.get("tool_calls")))}
        elif message.get("role") == "tool":
            call = calls.get(word(message.get("tool_call_id")), {})
            error = fields(message.get("error"))
            yield Step(
                trace=sample.trace,
                parent="sample",
                agent=sample.evaluation.task,
                id=f"message:{position}",
                kind="tool",
                start_ns=at,
                end_ns=at,
                session=sample.evaluation.id,
                tool=word(call.get("function")) or word(message.get("function")),
                call_id=word(message.get("tool_call_id")),
                input_value=words_of(_resolved(sample, call.get("arguments"))),
                output_value=_text(sample, message.get("content")),
                tool_error=words_of(error.get("message")) if error else "",
            )
        so_far.append(encoded)
    sample.last_ns = max(sample.last_ns, at)


def _said(sample: _Sample, message: Mapping[str, Any], stop: str = "") -> Said:
    role = word(message.get("role")) or "user"
    if role == "tool":
        text = _text(sample, message.get("content"))
        error = fields(message.get("error"))
        part = result_part(
            word(message.get("tool_call_id")), text or words_of(error.get("message")), failed=bool(error)
        )
        return said("tool", [part])
    parts = _parts(sample, message.get("content"))
    for call in map(fields, items(message.get("tool_calls"))):
        arguments = _resolved(sample, call.get("arguments"))
        parts.append(call_part(word(call.get("id")), word(call.get("function")), arguments))
    return said(role, parts, finish_reason=stop)


def _parts(sample: _Sample, content: Any) -> list[Part]:
    content = _resolved(sample, content)
    if not isinstance(content, list):
        text = words_of(content)
        return [text_part(text)] if text else []
    parts: list[Part] = []
    for piece in map(fields, items(content)):
        kind = word(piece.get("type"))
        if kind == "reasoning":
            if text := words_of(piece.get("summary")) or words_of(piece.get("reasoning")):
                parts.append(reasoning_part(text))
        elif kind in ("image", "audio", "video"):
            parts.append(_media(kind, words_of(piece.get(kind))))
        elif text := words_of(piece.get("text")):
            parts.append(text_part(text))
        elif kind == "tool_use":
            parts.append(call_part(word(piece.get("id")), word(piece.get("name")), piece.get("arguments")))
    return parts


def _media(kind: str, place: str) -> Part:
    if place.startswith("data:"):
        mime, _, data = place[5:].partition(";base64,")
        return media_part(kind, mime[:100], data=data)
    return media_part(kind, "", uri=place)


def _text(sample: _Sample, content: Any) -> str:
    texts = [part["content"] for part in _parts(sample, content) if part["type"] == "text"]
    return "\n".join(texts)


def _resolved(sample: _Sample, value: Any, depth: int = 0) -> Any:
    """The value with what was moved to the sample's attachments put back."""
    if isinstance(value, str):
        if value.startswith(_ATTACHMENT):
            found = sample.attachments.get(value.removeprefix(_ATTACHMENT))
            return found if isinstance(found, str) else value
        return value
    if depth >= _DEPTH_MAX:
        return value
    if isinstance(value, list):
        return [_resolved(sample, inner, depth + 1) for inner in items(value)]
    if isinstance(value, dict):
        return {name: _resolved(sample, inner, depth + 1) for name, inner in fields(value).items()}
    return value


def _asked(sample: _Sample, value: Any) -> str:
    """What the sample asks: its text, or what the user says in its messages."""
    if isinstance(value, str):
        return words_of(_resolved(sample, value))
    said_by_user = [_text(sample, m.get("content")) for m in map(fields, items(value)) if m.get("role") == "user"]
    return "\n".join(text for text in said_by_user if text)


def _completion(sample: _Sample, output: Mapping[str, Any]) -> str:
    choice = fields(next(iter(items(output.get("choices"))), None))
    return _text(sample, fields(choice.get("message")).get("content")) or words_of(output.get("completion"))


def _definition(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: tool[name] for name in ("name", "description", "parameters") if name in tool}


def _tokens(usage: Mapping[str, Any], provider: str) -> Tokens | None:
    """Inspect copies the provider's habit: its total says whether the input holds the cached tokens."""
    given, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    read, written = count(usage.get("input_tokens_cache_read")), count(usage.get("input_tokens_cache_write"))
    total = count(usage.get("total_tokens"))
    apart = read + written > given or (
        total == given + output + read + written if total else "anthropic" in provider or "bedrock" in provider
    )
    found = Tokens(
        input=given + read + written if apart and read + written else given,
        cache_read=read,
        cache_write=written,
        output=output,
        reasoning=min(count(usage.get("reasoning_tokens")), output),
    )
    return found if found.input or found.output else None


def _total(usage: Mapping[str, Any]) -> Tokens | None:
    each = [_tokens(fields(one), name) for name, one in usage.items()]
    known = [one for one in each if one is not None]
    if not known:
        return None
    return Tokens(
        input=sum(one.input for one in known),
        cache_read=sum(one.cache_read for one in known),
        cache_write=sum(one.cache_write for one in known),
        output=sum(one.output for one in known),
        reasoning=sum(one.reasoning for one in known),
    )


def _scores(sample: _Sample, name: str, score: Mapping[str, Any], at: int) -> Iterator[Item]:
    value = score.get("value")
    told: Mapping[str, Any] = {f"{name}.{key}": one for key, one in fields(value).items()} or {name: value}
    for key, one in told.items():
        found, label = _verdict(one)
        explanation = words_of(_resolved(sample, score.get("explanation"))) or words_of(score.get("answer"))
        if found is not None or label:
            yield Scored(
                trace=sample.trace,
                step="sample",
                name=key,
                value=found,
                label=label,
                explanation=explanation,
                source="inspect",
                time_ns=at,
            )


def _verdict(value: Any) -> tuple[float | None, str]:
    if isinstance(value, bool):
        return float(value), str(value).lower()
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value], value
        try:
            return number(json.loads(value)), value[:200]
        except (ValueError, RecursionError):
            return None, value[:200]
    found = number(value)
    return found, "" if found is not None or value is None else words_of(value)[:200]
