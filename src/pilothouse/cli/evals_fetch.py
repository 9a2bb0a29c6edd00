"""What was recorded of a session or of one decision, asked of the server: whole values, never heads of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pilothouse.records import BadRequest, NotFound
from pilothouse.records import command as line

from .client import Client, segment

if TYPE_CHECKING:
    from pilothouse.evals.case import Call
    from pilothouse.evals.recording import Recording

TOOLS_MAX: Final = 2_000
"""Tool calls of one trace; a session with more is no case for anybody."""
TRACES_MAX: Final = 200
_TRIED: Final = 20
"""Model calls looked at for the beginning and the end of a conversation: sub-agents have conversations of their own."""

Row = Mapping[str, Any]


def fetch(client: Client, id: str, step: str = "") -> Recording:
    """The recording of a trace, of a session, or of the decision of one step.

    Raises:
        NotFound: there is no such trace or step.
        BadRequest: the step is no model call, the content was not recorded, or there is too much of it.
    """
    found: Row = client.get(f"/resolve/{segment(id)}")["data"]
    if step:
        if found["kind"] == "session":
            raise BadRequest("--step goes with a trace", got=id, fix=line("sessions", found["id"]))
        return _decision(client, found["trace_id"] or found["id"], step)
    if found["kind"] != "session":
        return _trace(client, found["trace_id"] or found["id"])
    session: Row = client.get(f"/sessions/{segment(found['id'])}", {"limit": TRACES_MAX})["data"]
    if session["next"]:
        raise BadRequest(
            f"a session of at most {TRACES_MAX} traces can be captured",
            got=found["id"],
            fix=line("eval", "from-trace", session["turns"][-1]["trace_id"]),
        )
    return _joined([_trace(client, turn["trace_id"]) for turn in session["turns"]], found["id"])


def fetch_known(client: Client, id: str, *, session: bool) -> Recording:
    """As :func:`fetch`, with fewer questions, for an id that a list gave: for thousands of them.

    Where the conversation tells every call and none failed, the spans of tools are not asked one by one.
    """
    if not session:
        return _trace(client, id, lean=True)
    found: Row = client.get(f"/sessions/{segment(id)}", {"limit": TRACES_MAX})["data"]
    if found["next"]:
        raise BadRequest(f"a session of at most {TRACES_MAX} traces can be captured", got=id)
    return _joined([_trace(client, turn["trace_id"], lean=True) for turn in found["turns"]], id)


def _decision(client: Client, trace_id: str, step: str) -> Recording:
    from pilothouse.evals.recording import Recording

    trace: Row = client.get(f"/traces/{segment(trace_id)}")["data"]
    record = _record(client, trace_id, step)
    detail: Row = client.get(f"/traces/{segment(trace_id)}/spans/{segment(step)}")["data"]
    later = [span for span in _tools(trace["spans"]) if span["step"] > record["step"]]
    prompt = _prompt(record)
    return Recording(
        given=prompt["messages"],
        later=_answer(record),
        calls=_calls(client, trace_id, later, {}),
        settings=_settings(record, prompt, detail),
        about={"trace": trace_id, "step": record["step"], **_about(trace["row"], record, detail)},
    )


def _trace(client: Client, trace_id: str, *, lean: bool = False) -> Recording:
    from pilothouse.evals.recording import Recording, calls_in

    trace: Row = client.get(f"/traces/{segment(trace_id)}")["data"]
    spans: Sequence[Row] = trace["spans"]
    models, tools = _models(spans), _tools(spans)
    if len(tools) > TOOLS_MAX or trace["cut"]:
        raise BadRequest(
            f"a session of at most {TOOLS_MAX:,} tool calls can be captured",
            got=f"{len(tools):,} of {trace['row']['spans']:,} spans",
            fix=line("eval", "from-trace", trace_id, "--step", models[0]["step"] if models else 1),
        )
    if not models:
        return _without_model(client, trace, tools)
    first = _first_told(client, trace_id, models)
    if not _messages_of(first):
        # What the agent was asked may be known where its model calls keep nothing.
        whole = _without_model(client, trace, tools)
        if whole.given or whole.data is not None:
            return whole
    prompt = _prompt(first)
    detail: Row = client.get(f"/traces/{segment(trace_id)}/spans/{first['span_id']}")["data"]
    later = _rest(client, trace_id, prompt["messages"], first, models)
    told = {one["id"]: one["content"] for one in _results(later) if one["id"]}
    # Emitters that record no spans of tools tell of them in the conversation.
    calls = tuple(replace(one, result=_data_of(one.result)) for one in calls_in(later))
    if tools and not (lean and _told_whole(calls, tools)):
        calls = _calls(client, trace_id, tools, told)
    return Recording(
        given=prompt["messages"],
        later=later,
        calls=calls,
        settings=_settings(first, prompt, detail),
        about={"trace": trace_id, **_about(trace["row"], first, detail)},
    )


def _told_whole(calls: Sequence[Call], tools: Sequence[Row]) -> bool:
    """Whether a conversation tells the same calls as the spans do, and none of them failed."""
    names = [span["tool_name"] or span["name"] for span in tools]
    return sorted(one.name for one in calls) == sorted(names) and all(span["status"] != "error" for span in tools)


def _first_told(client: Client, trace_id: str, models: Sequence[Row]) -> Row:
    """The first model call of which the content is known: some emitters keep that of some calls alone."""
    told = [_record(client, trace_id, models[0]["span_id"])]
    for span in models[1:_TRIED]:
        if _messages_of(told[-1]):
            break
        told.append(_record(client, trace_id, span["span_id"]))
    return told[-1] if _messages_of(told[-1]) else told[0]


def _without_model(client: Client, trace: Row, tools: Sequence[Row]) -> Recording:
    from pilothouse.evals.recording import Recording

    row: Row = trace["row"]
    trace_id = row["trace_id"]
    if not trace["spans"]:
        raise NotFound("the trace has no spans yet", got=trace_id, fix=line("show", trace_id))
    root = row["root_span_id"] or trace["spans"][0]["span_id"]
    detail: Row = client.get(f"/traces/{segment(trace_id)}/spans/{root}")["data"]
    said, asked = [_wire(one) for one in detail["output"]], [_wire(one) for one in detail["input"]]
    data: Any = _value(detail["input_value"]) if detail["input_value"] else None
    asked = [one for one in asked if one["role"] and one["parts"]]
    if not asked and isinstance(data, str):
        asked, said = [{"role": "user", "content": data}], [{"role": "assistant", "content": detail["output_value"]}]
    return Recording(
        given=asked,
        later=said,
        data=None if asked else data,
        answer=detail["output_value"],
        calls=_calls(client, trace_id, tools, {}),
        about={"trace": trace_id, **_about(row, {"tools_offered": ()}, detail)},
    )


def _joined(found: Sequence[Recording], session: str) -> Recording:
    """Several traces of one conversation, end to end: each begins with what a user said."""
    if not found:
        raise NotFound("the session has no traces", got=session, fix=line("sessions"))
    first = found[0]
    later = list(first.later)
    for one in found[1:]:
        users = [message for message in one.given if message.get("role") == "user"]
        later += [*users[-1:], *one.later]
    calls = tuple(call for one in found for call in one.calls)
    about = {**first.about, "session": session, "traces": [str(one.about["trace"]) for one in found]}
    return replace(first, later=later, calls=calls, about=about)


# -- spans -----------------------------------------------------------------------------------------------------------


def _models(spans: Sequence[Row]) -> list[Row]:
    """Model calls that hold no other one, each once."""
    calls = [span for span in spans if span["kind"] == "model" and not span["duplicate_of"]]
    parents = {span["parent_span_id"] for span in calls}
    return [span for span in calls if span["span_id"] not in parents]


def _tools(spans: Sequence[Row]) -> list[Row]:
    """Tool calls that the agent made itself: what a tool calls within does not happen where the tool is played back."""
    parents = {span["span_id"]: span["parent_span_id"] for span in spans}
    tools = {span["span_id"] for span in spans if span["kind"] == "tool" and not span["duplicate_of"]}

    def within(span_id: str) -> bool:
        above, seen = parents.get(span_id, ""), set[str]()
        while above and above not in seen:
            if above in tools:
                return True
            seen.add(above)
            above = parents.get(above, "")
        return False

    return [span for span in spans if span["span_id"] in tools and not within(span["span_id"])]


def _calls(client: Client, trace_id: str, tools: Sequence[Row], told: Mapping[str, Any]) -> tuple[Call, ...]:
    from pilothouse.evals.case import Call

    calls: list[Call] = []
    for span in tools[:TOOLS_MAX]:
        detail: Row = client.get(f"/traces/{segment(trace_id)}/spans/{span['span_id']}")["data"]
        arguments = _value(detail["input_value"]) if detail["input_value"] else _asked(detail["input"])
        result = _value(detail["output_value"] or "\n".join(view["text"] for view in detail["output"]))
        if result == "":
            result = _value(str(told.get(span["tool_call_id"], "")))
        failed = span["status"] == "error"
        calls.append(
            Call(
                name=span["tool_name"] or span["name"],
                arguments=arguments if isinstance(arguments, Mapping) else None,
                result=None if failed else result,
                error=(detail["error_message"] or span["error_type"] or "the tool failed") if failed else "",
            )
        )
    return tuple(calls)


# -- conversations ---------------------------------------------------------------------------------------------------


def _record(client: Client, trace_id: str, step: str) -> Row:
    return client.get(f"/traces/{segment(trace_id)}/spans/{segment(step)}/decision")["data"]


def _prompt(record: Row) -> dict[str, Any]:
    if not _messages_of(record):
        raise BadRequest(
            "the content of this step was not recorded, or is not kept any more",
            got=f"step {record['step']} of {record['trace_id']}",
            fix="record with PILOTHOUSE_CAPTURE_CONTENT=true, or choose another trace",
        )
    found: dict[str, Any] = json.loads(record["prompt"])
    return found


def _messages_of(record: Row) -> list[dict[str, Any]]:
    """The messages of a prompt; none where one of them is not kept."""
    messages: list[dict[str, Any]] = json.loads(record["prompt"]).get("messages") or [] if record["prompt"] else []
    return messages if all(message["role"] for message in messages) else []


def _answer(record: Row) -> list[dict[str, Any]]:
    return [_wire(view) for view in record["answer"] if view["parts"]]


def _wire(view: Row) -> dict[str, Any]:
    return {"role": view["role"] or "assistant", "parts": list(view["parts"])}


def _rest(
    client: Client, trace_id: str, given: Sequence[Row], first: Row, models: Sequence[Row]
) -> list[dict[str, Any]]:
    """What came after the first prompt: the last prompt that begins with it says so, and the answer to that."""
    for span in reversed(models[-_TRIED:]):
        if span["step"] == first["step"]:
            break
        record = _record(client, trace_id, span["span_id"])
        spoken, begun = _spoken(_messages_of(record)), _spoken(given)
        if spoken[: len(begun)] == begun:
            return [*spoken[len(begun) :], *_answer(record)]
    return _answer(first)


def _spoken(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Without system prompts: they change from call to call where they hold the time."""
    return [message for message in messages if message["role"] not in ("system", "developer")]


def _results(messages: Sequence[Row]) -> list[dict[str, Any]]:
    from pilothouse.evals.conversation import turns

    return [{"id": one.id, "content": one.content} for turn in turns(messages) for one in turn.results]


def _settings(record: Row, prompt: Row, detail: Row) -> dict[str, Any]:
    settings: dict[str, Any] = {"model": detail["request_model"] or record["model"]}
    return settings | dict(prompt.get("parameters") or {})


def _about(row: Row, record: Row, detail: Row) -> dict[str, Any]:
    """Where it comes from, as far as it is known."""
    resource: Row = detail["resource"]
    return {
        "recorded": row["start_time"],
        "agent": row["agent"],
        "agent_version": row["agent_version"] or resource.get("service.version", ""),
        "service": row["service"],
        "environment": row["environment"],
        "session": row["session_id"],
        "prompt_name": detail["prompt_name"],
        "prompt_version": detail["prompt_version"],
        "prompt_sha256": record.get("prompt_sha256", ""),
        "tools": list(record["tools_offered"])[:200],
    }


def _asked(views: Sequence[Row]) -> Any:
    """The arguments of a tool whose span tells them as a message."""
    parts: list[Row] = [part for view in views for part in view["parts"]]
    calls = [part["arguments"] for part in parts if part.get("type") == "tool_call" and "arguments" in part]
    return calls[0] if calls else _value("\n".join(view["text"] for view in views))


def _data_of(result: Any) -> Any:
    """What a tool answered, as its span would tell it: a conversation holds the text that was made of it."""
    return _value(result) if isinstance(result, str) else result


def _value(text: str) -> Any:
    """A recorded value as data, where that says the same; ``007`` and words stay text."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    same = text[:1] in ("{", "[", '"') or json.dumps(found) == text
    return found if same else text
