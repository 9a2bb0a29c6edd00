"""Claude Code: spans where tracing is on, spans made from log events where it is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pilothouse.conventions import read, read_log
from pilothouse.records import Emitter, RawLog, RawSpan, Reading

from .making import reading
from .otlp_json import CAPTURES, bodies, logs, spans

SCOPE = "com.anthropic.claude_code.tracing"
END = 1_795_000_000_000_000_000


def log(name: str, attributes: dict[str, Any], *, trace_id: str = "", time_ns: int = END) -> RawLog:
    return RawLog(
        time_ns=time_ns,
        body=f"claude_code.{name}",
        trace_id=trace_id,
        attributes={"event.name": name, "session.id": "s1", "prompt.id": "p1", "event.sequence": 1, **attributes},
        emitter=Emitter(scope_name="com.anthropic.claude_code.events", resource={"service.name": "claude-code"}),
    )


def made(record: RawLog) -> tuple[RawSpan, Reading]:
    found = read_log(record)
    assert found is not None
    ((raw, read_span),) = found.spans
    return raw, read_span


def captured_spans() -> list[tuple[RawSpan, Reading]]:
    path = CAPTURES / "claude-code.traces.json"
    return [(raw, read(raw)) for body in bodies(path) for raw in spans(body)]


def test_the_spans_of_a_prompt() -> None:
    found = {raw.name: reading for raw, reading in captured_spans()}

    assert {name.removeprefix("claude_code."): one.kind for name, one in found.items()} == {
        "interaction": "agent",
        "llm_request": "model",
        "tool": "tool",
        "tool.blocked_on_user": "waiting",
        "tool.execution": "other",
    }
    assert found["claude_code.interaction"].input[0].text == "Which tests are there?"
    assert found["claude_code.interaction"].agent == "claude-code"
    assert {one.session_id for one in found.values()} == {"00000000-0000-4000-8000-0000000000c1"}


def test_tools_are_read_from_their_output_event() -> None:
    tools = [one for _, one in captured_spans() if one.kind == "tool"]
    bash = next(one for one in tools if one.tool_name == "Bash")

    assert bash.input_value == '{"command":"ls tests"}'
    assert bash.output_value == "conftest.py\ntest_rooms.py"
    assert bash.tool_call_id == "toolu_0001"


def test_redacted_content_is_no_content() -> None:
    found = reading({"span.type": "interaction", "user_prompt": "<REDACTED>"}, scope=SCOPE)
    assert (found.input, found.consumed) == ((), frozenset())


def test_a_request_becomes_a_model_span_that_ends_at_the_events_time() -> None:
    raw, found = made(
        log(
            "api_request",
            {
                "model": "claude-haiku-4-5",
                "input_tokens": "12",
                "output_tokens": 20,
                "cache_read_tokens": 100,
                "cache_creation_tokens": 0,
                "cost_usd": "0.001576",
                "duration_ms": 1900,
                "request_id": "req_5",
            },
        )
    )

    assert (raw.start_ns, raw.end_ns) == (END - 1_900_000_000, END)
    assert (found.kind, found.model, found.provider, found.response_id) == (
        "model",
        "claude-haiku-4-5",
        "anthropic",
        "req_5",
    )
    assert found.usage is not None
    assert (found.usage.input_uncached, found.usage.cache_read, found.usage.output_text) == (12, 100, 20)
    assert found.cost_given_usd == Decimal("0.001576")


def test_all_events_of_a_prompt_are_one_trace_under_one_root() -> None:
    root, agent = made(log("user_prompt", {"prompt": "Which tests are there?"}))
    request, _ = made(log("api_request", {"request_id": "r1"}))
    tool, tool_reading = made(log("tool_result", {"tool_name": "Bash", "tool_use_id": "t1", "success": "true"}))
    other, _ = made(log("user_prompt", {"prompt.id": "p2"}))

    assert root.trace_id == request.trace_id == tool.trace_id != other.trace_id
    assert root.parent_span_id == ""
    assert request.parent_span_id == tool.parent_span_id == root.span_id
    assert len({root.span_id, request.span_id, tool.span_id}) == 3
    assert (agent.kind, agent.input[0].text) == ("agent", "Which tests are there?")
    assert (tool_reading.kind, tool_reading.tool_name, tool_reading.tool_call_id) == ("tool", "Bash", "t1")


def test_an_event_sent_twice_is_one_span() -> None:
    first, _ = made(log("api_request", {"request_id": "r1"}))
    again, _ = made(log("api_request", {"request_id": "r1"}))
    third, _ = made(log("api_request", {"request_id": "r2"}))

    assert (first.trace_id, first.span_id) == (again.trace_id, again.span_id)
    assert first.span_id != third.span_id


def test_requests_without_an_id_are_told_apart_by_their_number() -> None:
    one, _ = made(log("api_request", {"event.sequence": 1}))
    two, _ = made(log("api_request", {"event.sequence": 2}))
    assert one.span_id != two.span_id


def test_a_failed_request_and_a_failed_tool() -> None:
    failed, found = made(log("api_error", {"error": "529 overloaded_error", "status_code": 529, "duration_ms": 890}))
    tool, tool_reading = made(
        log("tool_result", {"tool_name": "Read", "tool_use_id": "t", "success": "false", "error_type": "Error:ENOENT"})
    )

    assert (failed.status_code, found.error_type, found.error_message) == (2, "529", "529 overloaded_error")
    assert (tool.status_code, tool_reading.error_type, tool_reading.tool_error) == (2, "Error:ENOENT", "Error:ENOENT")


def test_a_refused_tool_is_seen_and_an_accepted_one_waits_for_its_result() -> None:
    _, refused = made(log("tool_decision", {"tool_name": "Bash", "decision": "reject", "source": "user_reject"}))

    assert (refused.kind, refused.tool_error) == ("tool", "rejected (user_reject)")
    assert read_log(log("tool_decision", {"tool_name": "Bash", "decision": "accept"})) is None


def test_events_of_a_real_trace_make_no_spans_but_bring_the_answer() -> None:
    trace_id = "c" * 32
    assert read_log(log("api_request", {"request_id": "r1"}, trace_id=trace_id)) is None
    answer = read_log(log("assistant_response", {"response": "One test."}, trace_id=trace_id))

    assert answer is not None
    assert answer.spans == ()
    assert [item.text for item in answer.output] == ["One test."]


def test_the_time_may_be_an_attribute() -> None:
    raw, _ = made(log("api_request", {"event.timestamp": "2026-11-18T10:26:40.000Z"}, time_ns=0))
    assert raw.end_ns == 1_794_997_600_000_000_000


def test_the_captured_events() -> None:
    made_spans: list[tuple[RawSpan, Reading]] = []
    for body in bodies(CAPTURES / "claude-code.logs.json"):
        for record in logs(body):
            found = read_log(record)
            if found is not None:
                made_spans.extend(found.spans)

    assert [raw.name.removeprefix("claude_code.") for raw, _ in made_spans] == [
        "user_prompt",
        "api_error",
        "api_request",
    ]
    assert len({raw.trace_id for raw, _ in made_spans}) == 1
