"""ATIF, the Agent Trajectory Interchange Format, v1.0 to v1.8.

Specification: Harbor RFC 0001 (harborframework.com/docs/agents/trajectory-format; laude-institute/harbor,
docs/rfcs/0001-trajectory-format.md), also in NVIDIA's NeMo Agent Toolkit (packages/nvidia_nat_atif) and NeMo Relay.
A file is one trajectory, a list of them, or one a line. Unknown fields are kept: with :data:`names.IMPORTED_REST` the
trajectory is given back as it came.

The format has one time a step. A call's span goes from the step before to its own; how long a tool took is unknown, so
its span takes no time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import names

from .reading import Unreadable, count, fields, items, moment_ns, number, parse, word, words_of
from .said import Conversation, Part, call_part, dumps, media_part, reasoning_part, result_part, said, text_part
from .sources import Opened, Source
from .trajectory import Foreign, Item, Scored, Skipped, Step, Tokens

_DEPTH_MAX = 16
"""Sub-agents of sub-agents."""
_MILLISECOND = 1_000_000
_MICROSECOND = 1_000
_REST_BYTES_MAX = 2 << 20
_SPAN_FIELDS = frozenset({"message", "reasoning_content", "tool_calls", "observation"})
"""Of an agent's step: what its spans hold."""
_BULKY = ("prompt_token_ids", "completion_token_ids", "logprobs")


def read(source: Source) -> Iterator[Item]:
    """The trajectories of a file."""
    with Opened(source) as opened:
        if ".jsonl" in source.path.name.lower():
            yield from _lines(opened, source)
            return
        try:
            document = parse(opened.whole())
        except Unreadable as error:
            yield Skipped(where="file", reason=str(error))
            return
    several = items(document) or [document]
    if not any(is_trajectory(one) for one in several):
        raise Foreign("no ATIF trajectory: an object with schema_version, agent and steps")
    for position, one in enumerate(several):
        where = "file" if len(several) == 1 else f"item {position + 1}"
        yield from _trajectory(one, source, where)


def is_trajectory(value: Any) -> bool:
    """True for an object that has the looks of a trajectory."""
    told = fields(value)
    return str(told.get("schema_version", "")).startswith("ATIF") or ("agent" in told and "steps" in told)


def _lines(opened: Opened, source: Source) -> Iterator[Item]:
    known = False
    for line in opened.lines():
        if isinstance(line, Skipped):
            yield line
            continue
        try:
            value = parse(line[1])
        except Unreadable as error:
            yield Skipped(where=f"line {line[0]}", reason=str(error))
            continue
        if not known and not is_trajectory(value):
            raise Foreign("no ATIF trajectory on its first line")
        known = True
        yield from _trajectory(value, source, f"line {line[0]}")


def _trajectory(value: Any, source: Source, where: str) -> Iterator[Item]:
    if not is_trajectory(value):
        yield Skipped(where=where, reason="no ATIF trajectory: an object with schema_version, agent and steps")
        return
    told = fields(value)
    if not any(map(fields, items(told.get("steps")))):
        yield Skipped(where=where, reason="a trajectory without steps")
        return
    session = word(told.get("session_id"))
    # Continuations share the session, and may begin with the same copied steps: their files tell them apart.
    own = word(told.get("trajectory_id")) or source.path.name.removesuffix(".gz")
    if not session and not word(told.get("trajectory_id")):
        own += hashlib.sha256(dumps(items(told.get("steps"))[:3])).hexdigest()
    reading = _Reading(trace=f"{session}\0{own}", session=session, where=where)
    yield from _agent(reading, told, path="", parent="", after_ns=_begin(told, source), depth=0)


@dataclass(slots=True)
class _Reading:
    """What all agents of a file share."""

    trace: str
    session: str
    where: str


@dataclass(slots=True)
class _Run:
    """One agent's trajectory while it is read."""

    path: str
    """Before every id of this agent."""
    name: str
    version: str
    model: str
    now_ns: int
    tools: bytes
    conversation: Conversation = field(default_factory=Conversation)
    kept: list[Any] = field(default_factory=list[Any])
    """Steps that are no call, as they came."""
    request: str = ""
    answer: str = ""
    measured: bool = False
    """True where a call says what it used or cost: then the totals are no cost of their own."""
    embedded: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


def _begin(told: Mapping[str, Any], source: Source) -> int:
    """The moment of the first step that has one; else the file's, set back to when its steps might have begun."""
    for step in items(told.get("steps")):
        if at := moment_ns(fields(step).get("timestamp")):
            return at
    return max(0, source.modified_ns - len(items(told.get("steps"))) * _MILLISECOND)


def _agent(
    reading: _Reading, told: Mapping[str, Any], *, path: str, parent: str, after_ns: int, depth: int
) -> Iterator[Item]:
    agent = fields(told.get("agent"))
    definitions = items(agent.get("tool_definitions"))
    run = _Run(
        path=path,
        name=word(agent.get("name")) or "agent",
        version=word(agent.get("version")),
        model=word(agent.get("model_name")),
        now_ns=after_ns,
        tools=dumps(definitions) if definitions else b"",
        embedded={
            word(one.get("trajectory_id")) or f"#{position}": one
            for position, one in enumerate(map(fields, items(told.get("subagent_trajectories"))))
        },
    )
    for position, raw in enumerate(items(told.get("steps")), 1):
        step = fields(raw)
        if not step:
            yield Skipped(where=f"{reading.where}, step {position}", reason="no object")
            continue
        at = moment_ns(step.get("timestamp")) or run.now_ns + _MILLISECOND
        if step.get("source") != "agent" or step.get("is_copied_context") is True:
            _context(run, step, position)
            where = f"{path}agent"
            yield from _children(reading, run, _references(step), where, at, depth)
        else:
            yield from _call(reading, run, step, position, at, depth)
        # What follows begins after the tools, which take no time but stand in order.
        calls = len(items(step.get("tool_calls")))
        run.now_ns = max(run.now_ns, at + (calls + 1) * _MICROSECOND if calls else at)
    yield from _children(reading, run, list(run.embedded), f"{path}agent", after_ns, depth)
    totals = fields(told.get("final_metrics"))
    yield Step(
        trace=reading.trace,
        id=f"{path}agent",
        parent=parent,
        kind="agent",
        start_ns=after_ns,
        end_ns=run.now_ns,
        agent=run.name,
        agent_id=word(told.get("trajectory_id")) if depth else "",
        agent_version=run.version,
        session=reading.session,
        input_value=run.request,
        output_value=run.answer,
        tokens=_tokens(
            {
                "prompt_tokens": totals.get("total_prompt_tokens"),
                "completion_tokens": totals.get("total_completion_tokens"),
                "cached_tokens": totals.get("total_cached_tokens"),
            }
        ),
        cost_usd=None if run.measured else number(totals.get("total_cost_usd")),
        attributes={names.IMPORTED_REST: _rest_of_trajectory(told, run.kept)},
    )
    for name, value in fields(totals.get("extra")).items():
        found = float(value) if isinstance(value, bool) else number(value)
        if found is not None:
            yield Scored(
                trace=reading.trace,
                step=f"{path}agent",
                name=name,
                value=found,
                label=str(value).lower() if isinstance(value, bool) else "",
                source="atif",
                explanation="final_metrics.extra",
                time_ns=run.now_ns,
            )


def _context(run: _Run, step: Mapping[str, Any], position: int) -> None:
    """A system or user step, or one copied from an earlier trajectory: it is said, and no call of this run."""
    run.kept.append({**step, "step_id": position})
    source = step.get("source")
    role = "assistant" if source == "agent" else "system" if source == "system" else "user"
    parts = _parts(step.get("message"))
    if parts:
        run.conversation.add(said(role, parts))
    if role == "user" and not run.request:
        run.request = _text(step.get("message"))
    for result in map(fields, items(fields(step.get("observation")).get("results"))):
        if text := _text(result.get("content")):
            run.conversation.add(said("user", [text_part(text)]))


def _call(reading: _Reading, run: _Run, step: Mapping[str, Any], position: int, at: int, depth: int) -> Iterator[Item]:
    calls = [fields(call) for call in items(step.get("tool_calls")) if fields(call)]
    results = [fields(result) for result in items(fields(step.get("observation")).get("results"))]
    parts: list[Part] = []
    if reasoning := step.get("reasoning_content"):
        parts.append(reasoning_part(words_of(reasoning)))
    parts += _parts(step.get("message"))
    parts += [
        call_part(word(call.get("tool_call_id")), word(call.get("function_name")), call.get("arguments"))
        for call in calls
    ]
    dispatched = count(step.get("llm_call_count")) == 0 and step.get("llm_call_count") == 0
    metrics = fields(step.get("metrics"))
    tokens, cost = _tokens(metrics), number(metrics.get("cost_usd"))
    run.measured = run.measured or tokens is not None or cost is not None
    id = f"{run.path}step:{position}"
    answer = said("assistant", parts)
    effort = step.get("reasoning_effort")
    yield Step(
        trace=reading.trace,
        id=id,
        parent=f"{run.path}agent",
        kind="chain" if dispatched else "model",
        start_ns=min(run.now_ns, at),
        end_ns=at,
        agent=run.name,
        agent_version=run.version,
        session=reading.session,
        model="" if dispatched else word(step.get("model_name")) or run.model,
        input=() if dispatched else run.conversation.now(),
        output=() if dispatched else (answer,),
        output_value=_text(step.get("message")) if dispatched else "",
        tools=b"" if dispatched else run.tools,
        tokens=tokens,
        cost_usd=cost,
        attributes={
            names.IMPORTED_REST: _rest_of_step(step, position, results),
            **({"gen_ai.request.reasoning.level": word(effort) or str(effort)} if effort else {}),
        },
    )
    if parts:
        run.conversation.add(answer)
    run.answer = _text(step.get("message")) or run.answer
    by_call: dict[str, Mapping[str, Any]] = {}
    for result in results:
        by_call.setdefault(word(result.get("source_call_id")), result)
    for place, call in enumerate(calls, 1):
        call_id = word(call.get("tool_call_id"))
        result: Mapping[str, Any] = by_call.pop(call_id, {}) if call_id else {}
        given = _text(result.get("content"))
        failed = fields(result.get("extra")).get("is_error") is True
        tool_id = f"{id}:call:{place}"
        yield Step(
            trace=reading.trace,
            id=tool_id,
            parent=id if dispatched else f"{run.path}agent",
            kind="tool",
            start_ns=at + place * _MICROSECOND,
            end_ns=at + place * _MICROSECOND,
            agent=run.name,
            agent_version=run.version,
            session=reading.session,
            tool=word(call.get("function_name")),
            call_id=call_id,
            input_value=words_of(call.get("arguments")),
            output_value=given,
            tool_error=(given or "the tool failed") if failed else "",
        )
        if result:
            run.conversation.add(said("tool", [result_part(call_id, given, failed=failed)]))
        yield from _children(reading, run, _references_of(result), tool_id, at, depth)
    for result in results:
        if word(result.get("source_call_id")) in by_call or not result.get("source_call_id"):
            if text := _text(result.get("content")):
                run.conversation.add(said("user", [text_part(text)]))
            yield from _children(reading, run, _references_of(result), f"{run.path}agent", at, depth)


def _children(reading: _Reading, run: _Run, references: list[str], parent: str, at: int, depth: int) -> Iterator[Item]:
    for name in references:
        told = run.embedded.pop(name, None)
        if told is None or not items(told.get("steps")):
            continue
        if depth >= _DEPTH_MAX:
            yield Skipped(where=f"{reading.where}, {name}", reason=f"more than {_DEPTH_MAX} agents within each other")
            continue
        begins = next((ns for one in items(told.get("steps")) if (ns := moment_ns(fields(one).get("timestamp")))), at)
        yield from _agent(reading, told, path=f"{run.path}{name}/", parent=parent, after_ns=begins, depth=depth + 1)


def _references(step: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for result in items(fields(step.get("observation")).get("results")):
        found += _references_of(fields(result))
    return found


def _references_of(result: Mapping[str, Any]) -> list[str]:
    return [word(fields(one).get("trajectory_id")) for one in items(result.get("subagent_trajectory_ref"))]


def _parts(content: Any) -> list[Part]:
    if isinstance(content, list):
        return [_part(fields(piece)) for piece in items(content) if fields(piece)]
    text = words_of(content)
    return [text_part(text)] if text else []


def _part(piece: Mapping[str, Any]) -> Part:
    if piece.get("type") in ("image", "audio"):
        place = fields(piece.get("source"))
        return media_part(word(piece.get("type")), word(place.get("media_type")), uri=words_of(place.get("path")))
    return text_part(words_of(piece.get("text")))


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(text for piece in items(content) if (text := words_of(fields(piece).get("text"))))
    return words_of(content)


def _tokens(metrics: Mapping[str, Any]) -> Tokens | None:
    extra = fields(metrics.get("extra"))
    found = Tokens(
        input=count(metrics.get("prompt_tokens")),
        cache_read=count(metrics.get("cached_tokens")),
        cache_write=count(extra.get("cache_creation_input_tokens")),
        output=count(metrics.get("completion_tokens")),
        reasoning=count(extra.get("reasoning_tokens")),
    )
    return found if found.input or found.output else None


def _rest_of_step(step: Mapping[str, Any], position: int, results: list[Mapping[str, Any]]) -> str:
    rest = {name: value for name, value in step.items() if name not in _SPAN_FIELDS}
    rest["step_id"] = position
    if not isinstance(step.get("message"), str):
        rest["message"] = step.get("message")
    # What a span of a tool has no place for is kept whole: parts, references, results of no call.
    own = ("source_call_id", "content")
    known = {word(fields(call).get("tool_call_id")) for call in items(step.get("tool_calls"))}
    if any(
        set(result) - set(own)
        or not isinstance(result.get("content"), str)
        or word(result.get("source_call_id")) not in known - {""}
        for result in results
    ):
        rest["observation"] = step.get("observation")
    if any(
        set(fields(call)) - {"tool_call_id", "function_name", "arguments"} for call in items(step.get("tool_calls"))
    ):
        rest["tool_calls"] = step.get("tool_calls")
    return _bounded(rest)


def _rest_of_trajectory(told: Mapping[str, Any], kept: list[Any]) -> str:
    rest = {name: value for name, value in told.items() if name not in ("steps", "subagent_trajectories")}
    return _bounded({**rest, "steps": kept})


def _bounded(rest: dict[str, Any]) -> str:
    encoded = dumps(rest)
    if len(encoded) > _REST_BYTES_MAX and isinstance(rest.get("metrics"), dict):
        metrics = {name: value for name, value in fields(rest["metrics"]).items() if name not in _BULKY}
        encoded = dumps({**rest, "metrics": metrics})
    if len(encoded) > _REST_BYTES_MAX:
        return ""
    return encoded.decode()
