"""Log records that say something about an agent: content, scores, and agents that report nothing but logs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from pilothouse.records import LogReading, RawLog, RawSpan, Score

from . import values
from .dialects.otel_genai import event_message
from .messages import read_messages, read_system, with_system
from .reading import read

_MESSAGES: Final = frozenset(
    {"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"}
)
_CLAUDE_SPANS: Final = frozenset(
    {"user_prompt", "api_request", "api_error", "tool_result", "tool_decision", "assistant_response"}
)
_CLAUDE: Final = "claude_code."


def read_log(raw: RawLog) -> LogReading | None:
    """Read a log record; ``None`` where it says nothing about an agent. Never raises.

    Messages belong to the record's own trace and span. Claude Code's events become spans of a trace whose ids are
    derived from the session and the prompt, so that the same event always gives the same span; they do so only where
    the record belongs to no trace, since otherwise the real spans arrive as well, which lack only what was answered.
    """
    try:
        return _read(raw)
    except Exception:
        # A record that cannot be read is still stored as it came.
        return None


def _read(raw: RawLog) -> LogReading | None:
    name = event_name(raw)
    if name in _MESSAGES:
        sent = event_message(name, _body(raw))
        return LogReading(input=sent) if sent else None
    if name == "gen_ai.choice":
        received = event_message(name, _body(raw))
        return LogReading(output=received) if received else None
    if name == "gen_ai.client.inference.operation.details":
        return _details({**_mapping(raw.body), **raw.attributes})
    if name == "gen_ai.evaluation.result":
        return _score(raw)
    if name.startswith(_CLAUDE) or raw.emitter.scope_name.startswith("com.anthropic.claude_code"):
        return _claude_code(raw, name.removeprefix(_CLAUDE))
    return None


def event_name(raw: RawLog) -> str:
    """The event's name, from its field, its attributes, or a body that is nothing but a name."""
    name = raw.event_name or values.word(raw.attributes.get("event.name"))
    if not name and isinstance(raw.body, str) and len(raw.body) <= 100:
        name = raw.body
    if isinstance(raw.body, str) and raw.body == f"{_CLAUDE}{name}":
        return raw.body
    return name


def _body(raw: RawLog) -> Any:
    """The event's content: the body, or the attributes where the body is only a label."""
    parsed = values.structure(raw.body)
    if isinstance(parsed, Mapping):
        return cast("Mapping[str, Any]", parsed)
    return raw.attributes


def _mapping(value: Any) -> dict[str, Any]:
    return dict(values.mapping(value)) if value is not None else {}


def _details(fields: Mapping[str, Any]) -> LogReading | None:
    system = fields.get("gen_ai.system_instructions")
    sent = with_system(
        read_system(system) if system is not None else (), read_messages(fields.get("gen_ai.input.messages"))
    )
    received = read_messages(fields.get("gen_ai.output.messages"), "assistant")
    return LogReading(input=sent, output=received) if sent or received else None


def _score(raw: RawLog) -> LogReading | None:
    fields = {**_mapping(raw.body), **raw.attributes}
    name = values.word(fields.get("gen_ai.evaluation.name"))
    value = values.number(fields.get("gen_ai.evaluation.score.value"))
    label = values.text(fields.get("gen_ai.evaluation.score.label"))
    if not name and value is None and not label:
        return None
    return LogReading(
        score=Score(
            name=name or "evaluation",
            value=value,
            label=label,
            explanation=values.text(fields.get("gen_ai.evaluation.explanation")),
            source=values.word(fields.get("gen_ai.evaluation.evaluator.name")) or raw.emitter.scope_name,
            trace_id=raw.trace_id,
            span_id=raw.span_id,
            response_id=values.word(fields.get("gen_ai.response.id")),
        )
    )


def _claude_code(raw: RawLog, name: str) -> LogReading | None:
    attributes = raw.attributes
    if raw.trace_id:
        said = values.text(attributes.get("response")) if name == "assistant_response" else ""
        return LogReading(output=read_messages([said], "assistant")) if said and said != "<REDACTED>" else None
    if name not in _CLAUDE_SPANS:
        return None
    if name == "tool_decision" and values.word(attributes.get("decision")) != "reject":
        return None
    session = values.word(attributes.get("session.id"))
    prompt = values.word(attributes.get("prompt.id"))
    if not session and not prompt:
        return None
    end_ns = raw.time_ns or _timestamp(attributes.get("event.timestamp")) or raw.observed_ns
    duration_ns = values.milliseconds_as_ns(attributes.get("duration_ms")) or 0
    trace_id = _id(16, session, prompt)
    root_id = _id(8, trace_id, "prompt")
    is_root = name == "user_prompt"
    failed = name == "api_error" or values.text(attributes.get("success")) == "false"
    span = RawSpan(
        trace_id=trace_id,
        span_id=root_id if is_root else _id(8, trace_id, name, *_identity(raw, name)),
        parent_span_id="" if is_root else root_id,
        name=f"{_CLAUDE}{name}",
        otel_kind=3 if name in ("api_request", "api_error") else 1,
        start_ns=max(end_ns - duration_ns, 0),
        end_ns=end_ns,
        status_code=2 if failed else 0,
        status_message=values.text(attributes.get("error")) if failed else "",
        attributes={"event.name": name, **attributes},
        emitter=raw.emitter,
    )
    return LogReading(spans=((span, read(span)),))


def _identity(raw: RawLog, name: str) -> tuple[str, ...]:
    """What tells one event of a prompt from the next; the counter is there in every version."""
    attributes = raw.attributes
    sequence = values.text(attributes.get("event.sequence"))
    keys = ("tool_use_id",) if name.startswith("tool_") else ("request_id", "client_request_id")
    known = values.first_word(attributes, keys)
    return (known,) if known else (sequence, str(raw.time_ns))


def _id(size: int, *pieces: str) -> str:
    digest = hashlib.blake2b("\x00".join(pieces).encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
    return digest if digest.strip("0") else "1" + digest[1:]


def _timestamp(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(values.word(value))
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000) * 1000
