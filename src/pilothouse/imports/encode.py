"""Steps as OTLP spans in the recorder's own dialect, scores as evaluation events of the GenAI convention.

Ids are hashes of the source's own ids: the same file imported twice, or again after it grew, gives the same spans,
and the server keeps one of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any

from pilothouse import __version__
from pilothouse.records import names
from pilothouse.sdk.encode import any_value, sized, text, varint, wrap

from .trajectory import Said, Scored, Step

VALUE_CHARS_MAX = 1_000_000
"""A tool's result longer than this keeps its beginning."""
_ERROR_CHARS = 4_000
_OPERATIONS = {"agent": "invoke_agent", "model": "chat", "tool": "execute_tool", "retrieval": "retrieval"}
_fixed64 = Struct("<Q").pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What the user says of everything that is imported."""

    format: str
    """Claude, ATIF, …: part of every id, so that two tools with the same ids do not meet."""
    session: str = ""
    """Instead of the source's own."""
    user: str = ""
    agent: str = ""
    """Instead of the source's own, for root agents and what happens directly in them."""
    tags: tuple[str, ...] = ()
    """Beside the source's own."""


@lru_cache(4_096)
def trace_id(format: str, key: str) -> bytes:
    """The id of a trace, from the source's own name of it."""
    return hashlib.blake2b(f"{format}\0{key}".encode("utf-8", "replace"), digest_size=16).digest()


def span_id(trace: bytes, key: str) -> bytes:
    """The id of a span, from the source's own name of the step."""
    return hashlib.blake2b(trace + key.encode("utf-8", "replace"), digest_size=8).digest()


def span(step: Step, labels: Labels) -> bytes:
    """One Span message."""
    trace = trace_id(labels.format, step.trace)
    head = b"\x0a\x10" + trace + b"\x12\x08" + span_id(trace, step.id)
    if step.parent:
        head += b"\x22\x08" + span_id(trace, step.parent)
    kind = b"\x30\x03" if step.kind == "model" else b"\x30\x01"
    start = max(0, step.start_ns)
    pieces = [
        head + sized(b"\x2a", text(_name(step, labels))) + kind,
        b"\x39" + _fixed64(start) + b"\x41" + _fixed64(max(start, step.end_ns)),
    ]
    pieces += _attributes(step, labels)
    if step.error:
        pieces.append(sized(b"\x7a", sized(b"\x12", text(step.error[:_ERROR_CHARS])) + b"\x18\x02"))
    pieces.append(b"\x85\x01\x00\x01\x00\x00")
    return b"".join(pieces)


def score(scored: Scored, labels: Labels) -> bytes:
    """One LogRecord message: an event ``gen_ai.evaluation.result``."""
    trace = trace_id(labels.format, scored.trace)
    told: dict[str, Any] = {"gen_ai.evaluation.name": scored.name[:200]}
    if scored.value is not None:
        told["gen_ai.evaluation.score.value"] = float(scored.value)
    if scored.label:
        told["gen_ai.evaluation.score.label"] = scored.label[:200]
    if scored.explanation:
        told["gen_ai.evaluation.explanation"] = scored.explanation[:10_000]
    told["gen_ai.evaluation.evaluator.name"] = scored.source or labels.format
    time = b"\x09" + _fixed64(scored.time_ns)
    where = sized(b"\x4a", trace) + (sized(b"\x52", span_id(trace, scored.step)) if scored.step else b"")
    pairs = b"".join(_pair(b"\x32", key, any_value(value, None)) for key, value in told.items())
    return time + pairs + where + b"\x59" + _fixed64(scored.time_ns) + sized(b"\x62", b"gen_ai.evaluation.result")


def request(service: str, pieces: Sequence[bytes]) -> bytes:
    """One request: spans, or log records, that belong to one service."""
    resource = sized(b"\x0a", _pair(b"\x0a", "service.name", any_value(service or "import", None)))
    scope = sized(b"\x0a", sized(b"\x0a", text(names.SCOPE)) + sized(b"\x12", text(__version__)))
    framed: list[bytes] = []
    for piece in pieces:
        framed += (b"\x12" + varint(len(piece)), piece)
    return wrap(resource, [(scope, framed)])


def _name(step: Step, labels: Labels) -> str:
    if step.name:
        return step.name[:300]
    what = step.tool or step.model or _agent(step, labels)
    return f"{_OPERATIONS.get(step.kind, step.kind)} {what}".strip()[:300]


def _agent(step: Step, labels: Labels) -> str:
    return labels.agent if labels.agent and not step.agent_id else step.agent


def _attributes(step: Step, labels: Labels) -> Iterable[bytes]:
    told: dict[str, Any] = dict(step.attributes)
    told[names.KIND] = step.kind
    told[names.IMPORTED_FROM] = labels.format
    told["gen_ai.operation.name"] = _OPERATIONS.get(step.kind, "")
    told["gen_ai.agent.name"] = _agent(step, labels)
    told["gen_ai.agent.id"] = step.agent_id
    told["gen_ai.agent.version"] = step.agent_version
    told["session.id"] = labels.session or step.session
    told["user.id"] = labels.user or step.user
    told["tag.tags"] = list(dict.fromkeys((*step.tags, *labels.tags)))
    told["gen_ai.response.model"] = step.model
    told["gen_ai.provider.name"] = step.provider
    told["gen_ai.response.id"] = step.response_id
    told["gen_ai.response.finish_reasons"] = [step.finish_reason] if step.finish_reason else []
    if step.kind == "tool":
        told["gen_ai.tool.name"] = step.tool
        told["gen_ai.tool.call.id"] = step.call_id
        told["gen_ai.tool.call.arguments"] = _bounded(step.input_value)
        told["gen_ai.tool.call.result"] = _bounded(step.output_value)
        told[names.TOOL_OUTCOME] = "error" if step.error else "soft_error" if step.tool_error else "ok"
        told[names.TOOL_ERROR] = step.tool_error[:_ERROR_CHARS]
    else:
        told["input.value"] = _bounded(step.input_value)
        told["output.value"] = _bounded(step.output_value)
    if step.error:
        told["error.type"] = step.error_type or "error"
    if step.cost_usd is not None:
        told["gen_ai.usage.cost"] = step.cost_usd
    # What is empty was not said; a count of zero was.
    pieces = [_pair(b"\x4a", key, any_value(value, None)) for key, value in told.items() if value not in ("", [], None)]
    pieces += _usage(step)
    if step.input:
        pieces += _messages("gen_ai.input.messages", step.input)
    if step.output:
        pieces += _messages("gen_ai.output.messages", step.output)
    if step.tools:
        pieces += _texts("gen_ai.tool.definitions", [step.tools], len(step.tools))
    return pieces


def _usage(step: Step) -> list[bytes]:
    found = step.tokens
    if found is None:
        return []
    by_life = found.cache_write_5m + found.cache_write_1h
    told = {
        "gen_ai.usage.input_tokens": found.input,
        "gen_ai.usage.output_tokens": found.output,
        "gen_ai.usage.cache_read.input_tokens": found.cache_read,
        "gen_ai.usage.cache_write.input_tokens": max(found.cache_write, by_life),
        "gen_ai.usage.cache_write.input_tokens.ephemeral_5m": found.cache_write_5m,
        "gen_ai.usage.cache_write.input_tokens.ephemeral_1h": found.cache_write_1h,
        "gen_ai.usage.reasoning.output_tokens": found.reasoning,
    }
    main = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    return [_pair(b"\x4a", key, any_value(value, None)) for key, value in told.items() if value or key in main]


def _messages(key: str, messages: Sequence[Said]) -> list[bytes]:
    """The attribute in pieces: the messages, which calls share, are copied once, into the request."""
    pieces: list[bytes] = [b"["]
    for message in messages:
        pieces += (message, b",")
    pieces[-1] = b"]"
    return _texts(key, pieces, sum(map(len, pieces)))


def _texts(key: str, pieces: Sequence[bytes], size: int) -> list[bytes]:
    value = b"\x0a" + varint(size)
    inner = sized(b"\x0a", text(key)) + b"\x12" + varint(len(value) + size) + value
    return [b"\x4a" + varint(len(inner) + size) + inner, *pieces]


def _pair(tag: bytes, key: str, value: bytes) -> bytes:
    return sized(tag, sized(b"\x0a", text(key)) + sized(b"\x12", value))


def _bounded(value: str) -> str:
    if len(value) <= VALUE_CHARS_MAX:
        return value
    return f"{value[:VALUE_CHARS_MAX]}… [{len(value) - VALUE_CHARS_MAX:,} characters left out by the import]"
