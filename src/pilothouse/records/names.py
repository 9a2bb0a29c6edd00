"""The attribute and event names that the recorder adds to the GenAI conventions, shared by writer and reader."""

from __future__ import annotations

from typing import Final

SCOPE: Final = "pilothouse"
"""The instrumentation scope of everything the recorder writes itself."""

RUNNING: Final = "pilothouse.running"
"""True on the early copy of a span that has not ended; the span itself replaces it."""

TOOL_EFFECT: Final = "pilothouse.tool.effect"
"""``read``, ``write`` or ``external``: what a tool call does to the world."""
TOOL_IDEMPOTENCY_KEY: Final = "pilothouse.tool.idempotency_key"
TOOL_REVERSIBLE_BY: Final = "pilothouse.tool.reversible_by"
"""The tool or command that undoes it; absent where nothing does."""
TOOL_OUTCOME: Final = "pilothouse.tool.outcome"
"""``ok``, ``error`` (it raised) or ``soft_error`` (it returned a failure, such as ``isError``)."""
TOOL_ERROR: Final = "pilothouse.tool.error"
"""Why it failed, where the span itself says ok."""

DECISION_PROMPT_SHA256: Final = "pilothouse.decision.prompt_sha256"
"""SHA-256 over the exact prompt sent, 64 hex digits."""
DECISION_RAW: Final = "pilothouse.decision.raw_response"
"""The provider's answer, unparsed."""
DECISION_ACTION: Final = "pilothouse.decision.action"
"""The next action as JSON: ``{"type": "tool_call", "tool": …, "arguments": …}`` or ``{"type": "answer"}``."""
DECISION_VALID: Final = "pilothouse.decision.valid"
DECISION_INVALID_REASON: Final = "pilothouse.decision.invalid_reason"

STATE_EVENT: Final = "pilothouse.state"
"""Span event: the agent went from one state to another."""
STATE_FROM: Final = "pilothouse.state.from"
STATE_TO: Final = "pilothouse.state.to"
"""planning, executing, reflecting, waiting, retrying, answering, or the user's own word."""
STATE_REASON: Final = "pilothouse.state.reason"

WAIT_FOR: Final = "pilothouse.wait.for"
"""On a span of kind waiting: ``human``, ``rate_limit``, ``queue``, ``retry`` or ``other``."""
WAIT_REASON: Final = "pilothouse.wait.reason"
RETRY_ATTEMPT: Final = "pilothouse.retry.attempt"
"""1 at the first try of a call, 2 at its first repetition."""
RETRY_MAX: Final = "pilothouse.retry.max"

KIND: Final = "pilothouse.kind"
"""The span's kind, as :data:`~pilothouse.records.KINDS` names it."""

INPUTS: Final = "pilothouse.error.inputs"
"""JSON of what the failing call was given."""
LED_BY: Final = "pilothouse.error.led_by"
"""The calls just before, one ``span_id name status`` a line, the newest last."""

HEARTBEAT_EVENT: Final = "pilothouse.heartbeat"
"""Event name of the log record that a recorder sends while spans are open. Its body is JSON:
``{"interval_s", "instance", "open": [{"trace_id", "span_id", "name", "kind", "state", "wait_for", "since_ns"}]}``."""
GOODBYE_EVENT: Final = "pilothouse.goodbye"
"""Event name of the log record that says: this process ends now, in order. The body is as in a heartbeat."""
INSTANCE: Final = "service.instance.id"
"""Resource attribute: one process. A forked child has its own."""

CLOSED_EARLY: Final = "pilothouse.stream.closed_early"
"""True where whoever read a stream stopped before its end."""
REQUEST_PARAMETERS: Final = "pilothouse.request.parameters"
"""JSON of every parameter of a model call beside messages, tools and model."""
FEATURE: Final = "pilothouse.feature"
"""What the work is for, in the user's own word."""

LOG_OFFSET: Final = "pilothouse.log.offset"
"""On the record of a followed log: the byte of its file at which it begins."""
LOG_CUT_BYTES: Final = "pilothouse.log.cut_bytes"
"""On the record of a followed log: how much of a line that was too long is left out."""

IMPORTED_FROM: Final = "pilothouse.imported.from"
"""Which format an imported span was read from: claude, codex, atif, inspect or swe-agent."""
IMPORTED_REST: Final = "pilothouse.imported.rest"
"""JSON of what the format says beyond what a span holds: what a trace needs to be given back as it came."""
IMPORTED_OPEN: Final = "pilothouse.imported.open"
"""True on a tool call whose result the source does not hold: it ended, or was read, before it came."""
IMPORTED_LEFT_OUT: Final = "pilothouse.imported.left_out"
"""How many of the oldest messages of a conversation the import left out, so that a call keeps within its bound."""
