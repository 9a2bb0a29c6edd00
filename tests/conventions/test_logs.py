"""Log records that carry content or scores."""

from __future__ import annotations

import json
from typing import Any

from pilothouse.conventions import read_log
from pilothouse.records import Emitter, RawLog


def log(name: str, attributes: dict[str, Any] | None = None, body: Any = None, **more: Any) -> RawLog:
    fields: dict[str, Any] = {"event_name": name, "trace_id": "1" * 32, "span_id": "2" * 16, **more}
    return RawLog(time_ns=1, body=body, attributes=attributes or {}, emitter=Emitter(scope_name="judge"), **fields)


def test_the_details_of_a_call() -> None:
    found = read_log(
        log(
            "gen_ai.client.inference.operation.details",
            {
                "gen_ai.system_instructions": [{"type": "text", "content": "Be kind."}],
                "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}],
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]
                ),
            },
        )
    )

    assert found is not None
    assert [(item.role, item.text) for item in found.input] == [("system", "Be kind."), ("user", "Hi")]
    assert [(item.text, item.finish_reason) for item in found.output] == [("Hello", "stop")]


def test_messages_one_by_one() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    user = read_log(log("gen_ai.user.message", body={"content": "Hi"}))
    assistant = read_log(log("gen_ai.assistant.message", body={"tool_calls": [call]}))
    tool = read_log(log("gen_ai.tool.message", body={"content": "42", "id": "c1"}))
    choice = read_log(log("", {"event.name": "gen_ai.choice"}, {"index": 0, "message": {"content": "Hello"}}))

    assert user is not None
    assert (user.input[0].role, user.input[0].text) == ("user", "Hi")
    assert assistant is not None
    assert assistant.input[0].parts[0].name == "look"
    assert tool is not None
    assert (tool.input[0].role, tool.input[0].parts[0].id) == ("tool", "c1")
    assert choice is not None
    assert (choice.output[0].role, choice.output[0].text) == ("assistant", "Hello")


def test_an_evaluation_is_a_score() -> None:
    found = read_log(
        log(
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": "relevance",
                "gen_ai.evaluation.score.value": 0.75,
                "gen_ai.evaluation.score.label": "pass",
                "gen_ai.evaluation.explanation": "It answers.",
                "gen_ai.response.id": "chatcmpl-1",
            },
        )
    )

    assert found is not None
    assert found.score is not None
    score = found.score
    assert (score.name, score.value, score.label, score.explanation) == ("relevance", 0.75, "pass", "It answers.")
    assert (score.source, score.trace_id, score.span_id, score.response_id) == (
        "judge",
        "1" * 32,
        "2" * 16,
        "chatcmpl-1",
    )


def test_other_records_say_nothing() -> None:
    assert read_log(log("app.started", body="hello")) is None
    assert read_log(log("", body={"content": "Hi"})) is None
    assert read_log(log("gen_ai.user.message", body=None)) is None
    assert read_log(log("gen_ai.evaluation.result")) is None
