"""An error of a provider is read as what it means, whoever reports it and in whatever shape."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from pilothouse.budgets import OverBudget
from pilothouse.records import BadRequest, NotAllowed, Overloaded, Unreachable
from pilothouse.survival import Failed, Failure, from_exception, from_response, retry_after_s

OPENAI_LONG = {"error": {"code": "context_length_exceeded", "message": "maximum context length is 8192 tokens"}}
ANTHROPIC_LONG = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
}
CASES: list[tuple[int, Any, str]] = [
    (429, {"error": {"code": "rate_limit_exceeded"}}, "rate_limited"),
    (429, {"error": {"code": "insufficient_quota"}}, "quota"),
    (402, {}, "quota"),
    (400, {"error": {"message": "Your credit balance is too low to access the API"}}, "quota"),
    (400, OPENAI_LONG, "context_limit"),
    (400, ANTHROPIC_LONG, "context_limit"),
    (413, {"error": {"message": "Input is too long for requested model."}}, "context_limit"),
    (400, {"error": {"code": "content_filter"}}, "content_filter"),
    (529, {"type": "error", "error": {"type": "overloaded_error"}}, "overloaded"),
    (503, "upstream connect error", "overloaded"),
    (500, b"\xff\xfe not text", "server_error"),
    (502, "<html>", "server_error"),
    (504, "", "timeout"),
    (408, "", "timeout"),
    (401, {"error": {"code": "invalid_api_key"}}, "not_allowed"),
    (403, {}, "not_allowed"),
    (404, {"error": {"code": "model_not_found"}}, "not_found"),
    (400, {"error": {"message": "temperature must be below 2"}}, "bad_request"),
    (422, "nonsense", "bad_request"),
    (200, "half a body", "malformed"),
]


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_an_answer_is_read(status: int, body: Any, kind: str) -> None:
    assert from_response(status, {}, body).kind == kind
    if isinstance(body, dict):
        assert from_response(status, {}, json.dumps(body).encode()).kind == kind


def test_neither_prompt_nor_key_of_an_error_reaches_its_message() -> None:
    body = {"error": {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-abcdef, prompt: my secret"}}
    assert str(from_response(401, {}, body)) == "not allowed (401): invalid_api_key"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "1e9"}, 86_400.0),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now_ns=60 * 10**9) == seconds


class APITimeoutError(Exception):
    """As the SDKs name theirs."""


class APIConnectionError(Exception):
    """As the SDKs name theirs."""


class Response:
    headers: ClassVar = {"Retry-After": "3"}


class APIStatusError(Exception):
    """As the SDKs make theirs."""

    status_code = 429
    response = Response()
    body: ClassVar = {"code": "rate_limit_exceeded"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timeout"),
        (APITimeoutError(), "timeout"),
        (APIConnectionError(), "unreachable"),
        (ConnectionRefusedError(), "unreachable"),
        (APIStatusError(), "rate_limited"),
        (json.JSONDecodeError("x", "", 0), "malformed"),
        (Overloaded("ours", retry_after_s=2), "rate_limited"),
        (Unreachable("ours"), "unreachable"),
        (NotAllowed("ours"), "not_allowed"),
        (BadRequest("ours"), "bad_request"),
        (OverBudget("ours", at_limit="refuse"), "budget"),
        (Failed(Failure(kind="quota")), "quota"),
        (ValueError("a bug of the caller"), "unknown"),
    ],
)
def test_an_exception_is_read(error: Exception, kind: str) -> None:
    assert from_exception(error).kind == kind


def test_an_sdks_error_brings_its_retry_after() -> None:
    assert from_exception(APIStatusError()).retry_after_s == 3


def test_the_genuine_sdks_errors_are_read() -> None:
    httpx = pytest.importorskip("httpx")
    openai = pytest.importorskip("openai")
    anthropic = pytest.importorskip("anthropic")
    for sdk in (openai, anthropic):
        request = httpx.Request("POST", "http://127.0.0.1/")
        response = httpx.Response(429, request=request, headers={"retry-after": "12"})
        found = from_exception(sdk.RateLimitError("slow down", response=response, body={"type": "rate_limit_error"}))
        assert (found.kind, found.retry_after_s, found.status) == ("rate_limited", 12.0, 429)
        assert from_exception(sdk.APITimeoutError(request)).kind == "timeout"
        assert from_exception(sdk.APIConnectionError(request=request)).kind == "unreachable"
    assert from_exception(httpx.ConnectError("no such host")).kind == "unreachable"
    assert from_exception(httpx.ReadTimeout("slow")).kind == "timeout"
