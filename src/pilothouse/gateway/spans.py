"""A call as an OTLP span in the recorder's own dialect: the exact prompt, the answer, usage, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final, cast

from pilothouse import __version__
from pilothouse.guards import Verdict, event_of
from pilothouse.records import canonical_json, judge, names, next_actions, prompt_sha256, prompt_text
from pilothouse.sdk.encode import attributes, sized, text, varint, wrap
from pilothouse.sdk.jsons import plain_text, readable
from pilothouse.sdk.messages import sent, wire
from pilothouse.sdk.responses import read_answer

from .answer import Told, told
from .call import Call, GateTold
from .labels import Labels
from .request_body import parsed

SERVICE: Final = "pilothouse-gateway"
_CUT_ABOVE_BYTES: Final = 4 * 1024 * 1024
_TEXT_CHARS_MAX: Final = 100_000
_TEXT_CHARS_KEPT: Final = 1_000
_MESSAGES: Final = ("messages", "input", "instructions", "system", "tools", "model")
_CONVENTIONAL: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
_USAGE: Final = "gen_ai.usage."
_fixed64 = Struct("<Q").pack


def request_of(calls: Sequence[Call], *, content: bool = True) -> bytes:
    """One OTLP request with the spans of these calls. ``content``: prompts and answers too."""
    pieces: list[bytes] = []
    for call in calls:
        found = attributes_of(call, content=content)
        while call.after:
            call.after.pop()(found)
        span = _span(call, found)
        pieces += (b"\x12" + varint(len(span)), span)
    return _request(pieces)


def request_of_check(verdict: Verdict, labels: Labels, *, tool: str, started_ns: int, ended_ns: int) -> bytes:
    """One OTLP request with the span of a gate that was asked over HTTP; the text is no part of it."""
    found = {**{name: readable(value) for name, value in labels.attributes.items()}, names.KIND: "guard"}
    event, facts = event_of(verdict, tool)
    told = GateTold(event=event, facts=facts, time_ns=ended_ns)
    pieces = [_head(labels, f"guard {verdict.gate}", started_ns, ended_ns)]
    attributes(pieces, b"\x4a", found, None)
    pieces += (sized(b"\x5a", _event(told)), _flags(labels))
    span = b"".join(pieces)
    return _request([b"\x12" + varint(len(span)), span])


def _request(pieces: list[bytes]) -> bytes:
    resource: list[bytes] = []
    attributes(resource, b"\x0a", {"service.name": SERVICE}, None)
    scope = sized(b"\x0a", sized(b"\x0a", text(names.GATEWAY_SCOPE)) + sized(b"\x12", text(__version__)))
    return wrap(sized(b"\x0a", b"".join(resource)), [(scope, pieces)])


def attributes_of(call: Call, *, content: bool = True) -> dict[str, Any]:
    """Everything the trace says of a call."""
    answer = told(call)
    found: dict[str, Any] = {
        **{name: readable(value) for name, value in call.labels.attributes.items()},
        names.KIND: "embedding" if call.endpoint.operation == "embeddings" else "model",
        "gen_ai.operation.name": "embeddings" if call.endpoint.operation == "embeddings" else "chat",
        "gen_ai.request.model": readable(call.sent_model or call.model),
        "pilothouse.gateway.upstream": call.upstream,
        "pilothouse.gateway.key": call.key_id,
    }
    if call.sent_model:
        found["pilothouse.gateway.asked_model"] = readable(call.model)
    if call.provider:
        found["gen_ai.provider.name"] = call.provider
    if call.status:
        found["http.response.status_code"] = call.status
    if call.attempts > 1:
        found["pilothouse.gateway.attempts"] = call.attempts
    if call.tried:
        found["pilothouse.gateway.tried"] = [readable(line[:300]) for line in call.tried[:20]]
    if call.verdicts:
        found["pilothouse.gateway.guards"] = [readable(line[:300]) for line in call.verdicts]
    if call.route:
        found["pilothouse.gateway.route"] = readable(call.route[:300])
    if call.fell_back:
        found["pilothouse.gateway.fell_back"] = True
    if call.chosen_by:
        found["pilothouse.gateway.chosen_by"] = readable(call.chosen_by[:300])
    if call.task:
        found["pilothouse.gateway.task"] = readable(call.task)
    if call.difficulty is not None:
        found["pilothouse.gateway.difficulty"] = round(call.difficulty, 4)
    if call.aside:
        found["pilothouse.gateway.aside"] = call.aside
    if call.cache:
        found["pilothouse.cache.outcome"] = call.cache
    if call.stood_in:
        found["pilothouse.gateway.stood_in"] = call.stood_in
    if call.request_id:
        found["pilothouse.gateway.request_id"] = readable(call.request_id)
    if call.closed_early:
        found[names.CLOSED_EARLY] = True
    if answer.first_ns:
        found["gen_ai.response.time_to_first_chunk"] = max(0, answer.first_ns - call.started_ns) / 1e9
    tools = _put_request(found, call, content=content)
    _put_answer(found, call, answer, tools, content=content)
    _put_error(found, call, answer)
    if call.from_cache is not None or call.stood_in == "cached":
        _unspend(found, call)
    return found


def _put_request(found: dict[str, Any], call: Call, *, content: bool) -> list[Any]:
    """The prompt and its parameters; returns the tools."""
    try:
        data = parsed(call.request)
    except (ValueError, RecursionError):
        return []
    body = cast("dict[str, Any]", _cut(data) if len(call.request) > _CUT_ABOVE_BYTES else data)
    parameters = {name: value for name, value in body.items() if name not in _MESSAGES and value is not None}
    listed = body.get("tools")
    tools = cast("list[Any]", listed) if isinstance(listed, list) else []
    for name, key in _CONVENTIONAL.items():
        if type(parameters.get(name)) in (int, float):
            found[key] = parameters[name]
    user = body.get("user") or _mapping(body.get("metadata")).get("user_id")
    if isinstance(user, str) and user:
        found.setdefault("user.id", readable(user[:300]))
    if not content:
        return tools
    if call.endpoint.operation == "embeddings":
        found["input.value"] = readable(plain_text(body.get("input") or ""))
        return tools
    given = body.get("messages") if body.get("messages") is not None else body.get("input")
    system = body.get("system") if body.get("system") is not None else body.get("instructions")
    messages_json = canonical_json(wire(sent(system, given)))
    tools_json, parameters_json = canonical_json(tools), canonical_json(parameters)
    found[names.DECISION_PROMPT_SHA256] = prompt_sha256(prompt_text(messages_json, tools_json, parameters_json))
    found["gen_ai.input.messages"] = readable(messages_json)
    if tools:
        found["gen_ai.tool.definitions"] = readable(tools_json)
    if parameters:
        found[names.REQUEST_PARAMETERS] = readable(parameters_json)
    return tools


def _put_answer(found: dict[str, Any], call: Call, told: Told, tools: list[Any], *, content: bool) -> None:
    data = told.data
    if not isinstance(data, dict):
        return
    body = cast("dict[str, Any]", data)
    if call.endpoint.operation == "embeddings":
        counted = _mapping(body.get("usage")).get("prompt_tokens")
        if type(counted) is int and counted >= 0:
            found["gen_ai.usage.input_tokens"] = counted
        if isinstance(body.get("model"), str):
            found["gen_ai.response.model"] = readable(body["model"])
        return
    answer = read_answer(body)
    found.update(answer.usage)
    for key, value in (("gen_ai.response.model", answer.model), ("gen_ai.response.id", answer.id)):
        if value:
            found[key] = readable(value)
    if answer.finish_reason:
        found["gen_ai.response.finish_reasons"] = [readable(answer.finish_reason)]
    if not content:
        return
    if answer.messages:
        found["gen_ai.output.messages"] = readable(canonical_json(wire(answer.messages)))
    found[names.DECISION_RAW] = plain_text(body)
    actions = next_actions(answer.messages)
    verdict = judge(actions, tools)
    shown = [{k: a[k] for k in ("type", "tool", "arguments", "id") if k in a and a[k] != ""} for a in actions]
    found[names.DECISION_ACTION] = readable(canonical_json(shown[0] if len(shown) == 1 else shown))
    found[names.DECISION_VALID] = verdict.valid
    if verdict.reason:
        found[names.DECISION_INVALID_REASON] = readable(verdict.reason[:1_000])


def _unspend(found: dict[str, Any], call: Call) -> None:
    """The usage in a kept answer is that of the call it was made for: this one used nothing, and saved that."""
    for name in [name for name in found if name.startswith(_USAGE)]:
        del found[name]
    found["gen_ai.usage.input_tokens"] = found["gen_ai.usage.output_tokens"] = 0
    found["gen_ai.usage.cost"] = 0.0
    if call.from_cache is not None:
        saved = call.from_cache
        found["pilothouse.cache.age_s"] = round(saved.age_s, 3)
        found["pilothouse.cache.saved_input_tokens"] = saved.input_tokens
        found["pilothouse.cache.saved_output_tokens"] = saved.output_tokens
        found["pilothouse.cache.saved_usd"] = saved.nano / 1_000_000_000
        found["pilothouse.cache.similarity"] = round(saved.similarity, 4)


def _put_error(found: dict[str, Any], call: Call, told: Told) -> None:
    if call.error is not None and not call.closed_early:
        found["error.type"] = call.error.kind
        found["error.message"] = readable(told.error_message or call.error.message)
    elif told.error_type:
        found["error.type"] = readable(told.error_type)
        found["error.message"] = readable(told.error_message or told.error_type)


def _span(call: Call, found: Mapping[str, Any]) -> bytes:
    name = f"{found['gen_ai.operation.name']} {call.model}"
    pieces = [_head(call.labels, name, call.started_ns, call.ended_ns)]
    attributes(pieces, b"\x4a", found, None)
    pieces += [sized(b"\x5a", _event(told)) for told in call.gates]
    if "error.type" in found:
        pieces.append(sized(b"\x7a", sized(b"\x12", text(str(found["error.message"])[:4_000])) + b"\x18\x02"))
    pieces.append(_flags(call.labels))
    return b"".join(pieces)


def _head(labels: Labels, name: str, started_ns: int, ended_ns: int) -> bytes:
    head = b"\x0a\x10" + bytes.fromhex(labels.trace_id) + b"\x12\x08" + bytes.fromhex(labels.span_id)
    if labels.parent_span_id:
        head += b"\x22\x08" + bytes.fromhex(labels.parent_span_id)
    head += sized(b"\x2a", text(readable(name[:300]))) + b"\x30\x03"
    return head + b"\x39" + _fixed64(started_ns) + b"\x41" + _fixed64(max(started_ns, ended_ns))


def _flags(labels: Labels) -> bytes:
    # Bit 8: it is known whether the parent is remote. Bit 9: it is.
    return b"\x85\x01\x00" + (b"\x03" if labels.parent_span_id else b"\x01") + b"\x00\x00"


def _event(told: GateTold) -> bytes:
    pieces = [b"\x09" + _fixed64(told.time_ns) + sized(b"\x12", text(told.event))]
    more = {names.GUARD_TIMES: told.times} if told.times > 1 else {}
    attributes(pieces, b"\x1a", {**told.facts, **more}, None)
    return b"".join(pieces)


def _cut(value: Any) -> Any:
    """A large body with its long texts, pictures most of all, cut to their beginnings."""
    if isinstance(value, str) and len(value) > _TEXT_CHARS_MAX:
        return f"{value[:_TEXT_CHARS_KEPT]}… [{len(value) - _TEXT_CHARS_KEPT:,} characters left out by the gateway]"
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_cut(item) for item in cast("list[Any]", value)]
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
