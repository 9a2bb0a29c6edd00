"""What went wrong, and tools that fail politely."""

from __future__ import annotations

from typing import Any

import pytest

from .making import event, reading


def test_an_exception_gives_type_message_and_stack() -> None:
    exception = event(
        "exception",
        {
            "exception.type": "openai.RateLimitError",
            "exception.message": "slow down",
            "exception.stacktrace": "Traceback …",
        },
    )
    found = reading({"gen_ai.operation.name": "chat", "error.type": "429"}, events=(exception,), status=2)

    assert (found.error_type, found.error_message, found.error_stack) == (
        "openai.RateLimitError",
        "slow down",
        "Traceback …",
    )


def test_the_error_attribute_and_the_status_message() -> None:
    found = reading({"gen_ai.operation.name": "chat", "error.type": "429"}, status=2, message="Too many requests")
    assert (found.error_type, found.error_message) == ("429", "Too many requests")


def test_an_error_status_alone_is_an_error() -> None:
    assert reading({}, status=2).error_type == "error"
    assert reading({}, status=1).error_type == ""


def tool(result: Any, **more: Any) -> str:
    return reading({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.result": result}, **more).tool_error


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ('{"isError": true, "content": [{"type": "text", "text": "no such file"}]}', "no such file"),
        ('{"is_error": true, "content": "boom"}', "boom"),
        ('{"error": "not found"}', "not found"),
        ('{"error": {"code": 404, "message": "not found"}}', "not found"),
        ('{"error": true, "message": "not found"}', "not found"),
        ('[{"error": "not found"}]', "not found"),
        ('{"error": {"code": 7}}', '{"code":7}'),
    ],
)
def test_a_tool_that_fails_on_a_span_that_says_ok(result: str, expected: str) -> None:
    assert tool(result) == expected


@pytest.mark.parametrize(
    "result",
    [
        '{"isError": false, "content": []}',
        '{"error": null, "result": 1}',
        '{"error": "", "data": [1]}',
        '{"errors": 0}',
        '{"error": "one of three failed", "results": [1, 2]}',
        "Error handling in Python is a large subject",
        '{"text": "the error was fixed"}',
        "[]",
        "42",
    ],
)
def test_a_result_that_only_speaks_of_errors_is_none(result: str) -> None:
    assert tool(result) == ""


def test_only_tools_fail_politely() -> None:
    found = reading({"openinference.span.kind": "CHAIN", "output.value": '{"error": "x"}'})
    assert found.tool_error == ""


def test_a_tool_whose_span_says_error_needs_no_soft_one() -> None:
    assert tool('{"error": "x"}', status=2) == ""


def test_a_long_error_is_shortened() -> None:
    assert len(tool('{"error": "%s"}' % ("x" * 5000))) < 2100
