"""SWE-agent and mini-swe-agent trajectories (``.traj``, ``.traj.json``).

Source: SWE-agent/SWE-agent, docs/usage/trajectories.md and sweagent/types.py (``TrajectoryStep``, ``AgentInfo``);
SWE-agent/mini-swe-agent, agents/default.py (``trajectory_format: mini-swe-agent-1``).

SWE-agent notes no times but how long each action took: the run is laid so that it ends when the file was written. It
notes tokens and cost for the whole run alone, mini-swe-agent for every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .reading import Unreadable, count, fields, items, lasting_ns, moment_ns, number, parse, word, words_of
from .said import Conversation, Part, call_part, reasoning_part, result_part, said, text_part
from .sources import Opened, Source
from .trajectory import Foreign, Item, Scored, Skipped, Step, Tokens

_MILLISECOND = 1_000_000


def read(source: Source) -> Iterator[Item]:
    """The run of a file."""
    with Opened(source) as opened:
        try:
            told = fields(parse(opened.whole()))
        except Unreadable as error:
            yield Skipped(where="file", reason=str(error))
            return
    if isinstance(told.get("trajectory"), list) and ("info" in told or "history" in told):
        yield from _run(told, source)
    elif isinstance(told.get("messages"), list) and isinstance(told.get("info"), dict):
        yield from _mini(told, source)
    else:
        raise Foreign("no SWE-agent trajectory: an object with trajectory or messages, and info")


def _trace(source: Source) -> tuple[str, str]:
    """The name of the trace and of its instance: trajectories have no id but their files' names."""
    instance = source.path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".traj")
    place = source.path.absolute().parent
    # RUN/INSTANCE/INSTANCE.traj: runs of one instance are told apart by the folder above.
    run = place.parent.name if place.name == instance else place.name
    return f"{run}\0{instance}", instance


def _run(told: Mapping[str, Any], source: Source) -> Iterator[Item]:
    trace, instance = _trace(source)
    info = fields(told.get("info"))
    taken = [lasting_ns(fields(step).get("execution_time")) for step in items(told.get("trajectory"))]
    whole = sum(taken) + 2 * len(taken) * _MILLISECOND
    now = begin = max(0, source.modified_ns - whole)
    talk = Conversation()
    history = [fields(message) for message in items(told.get("history"))]
    request = ""
    for message in history:
        if message.get("role") == "assistant" and not message.get("is_demo"):
            break
        text = _text(message.get("content"))
        if text:
            talk.add(said(word(message.get("role")) or "user", [text_part(text)]))
        if message.get("role") == "user" and not message.get("is_demo"):
            request = request or text
    asked = [message for message in history if message.get("role") == "assistant" and not message.get("is_demo")]
    model = _model(told)
    for position, raw in enumerate(items(told.get("trajectory"))):
        step = fields(raw)
        if not step:
            yield Skipped(where=f"step {position + 1}", reason="no object")
            continue
        message: Mapping[str, Any] = asked[position] if position < len(asked) else {}
        calls = [fields(call) for call in items(message.get("tool_calls"))]
        parts = _answer(step, calls)
        answer = said("assistant", parts)
        yield Step(
            trace=trace,
            id=f"step:{position + 1}",
            parent="run",
            kind="model",
            start_ns=now,
            end_ns=now + _MILLISECOND,
            agent="swe-agent",
            session=trace.partition("\0")[0],
            model=model,
            input=talk.now(),
            output=(answer,),
        )
        talk.add(answer)
        now += _MILLISECOND
        action, observation = words_of(step.get("action")), words_of(step.get("observation"))
        ends = now + taken[position] + _MILLISECOND
        call: Mapping[str, Any] = calls[0] if calls else {}
        function = fields(call.get("function"))
        call_id = word(call.get("id"))
        if action or function:
            yield Step(
                trace=trace,
                id=f"step:{position + 1}:action",
                parent="run",
                kind="tool",
                start_ns=now,
                end_ns=ends,
                agent="swe-agent",
                session=trace.partition("\0")[0],
                tool=word(function.get("name")) or (action.split(maxsplit=1) or ["action"])[0][:100],
                call_id=call_id,
                input_value=words_of(function.get("arguments")) or action,
                output_value=observation,
            )
        if observation:
            talk.add(
                said("tool", [result_part(call_id, observation)]) if call_id else said("user", [text_part(observation)])
            )
        now = ends
    stats = fields(info.get("model_stats"))
    tokens = Tokens(input=count(stats.get("tokens_sent")), output=count(stats.get("tokens_received")))
    yield from _end(
        trace, instance, info, begin, now, request, tokens, "swe-agent", word(info.get("swe_agent_version"))
    )


def _mini(told: Mapping[str, Any], source: Source) -> Iterator[Item]:
    trace, instance = _trace(source)
    info = fields(told.get("info"))
    messages = [fields(message) for message in items(told.get("messages"))]
    times = [ns for message in messages if (ns := moment_ns(fields(message.get("extra")).get("timestamp")))]
    now = begin = min(times) if times else max(0, source.modified_ns - 2 * len(messages) * _MILLISECOND)
    talk = Conversation()
    request = ""
    waiting: list[tuple[str, str, str, int]] = []
    measured = False
    for position, message in enumerate(messages, 1):
        if not message:
            yield Skipped(where=f"message {position}", reason="no object")
            continue
        role = word(message.get("role")) or "user"
        extra = fields(message.get("extra"))
        at = moment_ns(extra.get("timestamp")) or now + _MILLISECOND
        text = _text(message.get("content"))
        if role == "assistant":
            calls = _mini_calls(message, extra, position)
            parts: list[Part] = (
                [reasoning_part(thought)] if (thought := words_of(message.get("reasoning_content"))) else []
            )
            parts += [text_part(text)] if text else []
            parts += [call_part(id, name, {"command": command}) for id, name, command in calls]
            answer = said("assistant", parts)
            response = fields(extra.get("response"))
            tokens, cost = _tokens(fields(response.get("usage"))), number(extra.get("cost"))
            measured = measured or tokens is not None or cost is not None
            yield Step(
                trace=trace,
                id=f"message:{position}",
                parent="run",
                kind="model",
                start_ns=min(now, at),
                end_ns=at,
                agent="mini-swe-agent",
                session=trace.partition("\0")[0],
                model=word(response.get("model")) or _model(told),
                input=talk.now(),
                output=(answer,),
                tokens=tokens,
                cost_usd=cost,
            )
            talk.add(answer)
            waiting = [(id, name, command, at) for id, name, command in calls]
        elif waiting and role in ("user", "tool"):
            id, name, command, asked_at = waiting.pop(0)
            code = extra.get("returncode")
            yield Step(
                trace=trace,
                id=f"message:{position}",
                parent="run",
                kind="tool",
                start_ns=asked_at,
                end_ns=max(at, asked_at),
                agent="mini-swe-agent",
                session=trace.partition("\0")[0],
                tool=name,
                call_id=id,
                input_value=words_of({"command": command}),
                output_value=text,
                tool_error=f"exit code {code}" if isinstance(code, int) and code else "",
            )
            talk.add(said("tool", [result_part(id, text)]))
        elif role != "exit":
            if text:
                talk.add(said(role, [text_part(text)]))
            if role == "user":
                request = request or text
        now = max(now, at)
    version = word(info.get("mini_version"))
    if measured:
        # The cost of the run is that of its calls.
        info = {**info, "model_stats": {**fields(info.get("model_stats")), "instance_cost": None}}
    yield from _end(trace, instance, info, begin, now, request, Tokens(), "mini-swe-agent", version)


def _mini_calls(message: Mapping[str, Any], extra: Mapping[str, Any], position: int) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for place, action in enumerate(map(fields, items(extra.get("actions")))):
        id = word(action.get("tool_call_id")) or f"action_{position}_{place}"
        found.append((id, "bash", words_of(action.get("command"))))
    if found:
        return found
    for call in map(fields, items(message.get("tool_calls"))):
        function = fields(call.get("function"))
        found.append((word(call.get("id")), word(function.get("name")) or "bash", words_of(function.get("arguments"))))
    return found


def _end(
    trace: str,
    instance: str,
    info: Mapping[str, Any],
    begin: int,
    end: int,
    request: str,
    tokens: Tokens,
    agent: str,
    version: str,
) -> Iterator[Item]:
    status = word(info.get("exit_status"))
    submission = words_of(info.get("submission"))
    submitted = status.lower().startswith("submitted")
    yield Step(
        trace=trace,
        id="run",
        kind="agent",
        start_ns=begin,
        end_ns=end,
        agent=agent,
        agent_version=version,
        session=trace.partition("\0")[0],
        input_value=request or instance,
        output_value=submission,
        tokens=tokens if tokens.input or tokens.output else None,
        cost_usd=number(fields(info.get("model_stats")).get("instance_cost")),
        error=f"the run ended with {status}" if status and not submitted else "",
        error_type=status if status and not submitted else "",
        attributes={
            "swe_agent.instance": instance,
            "swe_agent.api_calls": count(fields(info.get("model_stats")).get("api_calls")),
        },
    )
    if status:
        yield Scored(
            trace=trace,
            step="run",
            name="exit_status",
            value=1.0 if submitted else 0.0,
            label=status,
            source=agent,
            time_ns=end,
        )


def _answer(step: Mapping[str, Any], calls: list[Mapping[str, Any]]) -> list[Part]:
    parts: list[Part] = []
    for block in map(fields, items(step.get("thinking_blocks"))):
        if thought := words_of(block.get("thinking")):
            parts.append(reasoning_part(thought))
    text = words_of(step.get("response")) or words_of(step.get("thought"))
    if text:
        parts.append(text_part(text))
    for call in calls:
        function = fields(call.get("function"))
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = parse(arguments)
            except Unreadable:
                arguments = {"command": arguments}
        parts.append(call_part(word(call.get("id")), word(function.get("name")), arguments))
    return parts


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(text for piece in items(content) if (text := words_of(fields(piece).get("text"))))
    return words_of(content)


def _model(told: Mapping[str, Any]) -> str:
    config = told.get("replay_config") or fields(told.get("info")).get("config")
    if isinstance(config, str):
        try:
            config = parse(config)
        except Unreadable:
            return ""
    agent = fields(fields(config).get("agent"))
    model = fields(agent.get("model")) or fields(fields(config).get("model"))
    return word(model.get("name") or model.get("model_name")).rpartition("/")[2]


def _tokens(usage: Mapping[str, Any]) -> Tokens | None:
    details = fields(usage.get("prompt_tokens_details"))
    thought = fields(usage.get("completion_tokens_details"))
    found = Tokens(
        input=count(usage.get("prompt_tokens")),
        cache_read=count(details.get("cached_tokens")),
        cache_write=count(usage.get("cache_creation_input_tokens")),
        output=count(usage.get("completion_tokens")),
        reasoning=count(thought.get("reasoning_tokens")),
    )
    return found if found.input or found.output else None
