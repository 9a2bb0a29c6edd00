"""A call is repeated for a passing reason, within its bounds, and every try and pause is recorded."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pilothouse
from pilothouse.records import BadRequest
from pilothouse.sdk import retries

from .conftest import Recorded


class ApiError(Exception):
    """Like those of providers' libraries."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()})


class Failing:
    """Raises these errors one after the other, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=pauses.append, monotonic=lambda: sum(pauses)))
    monkeypatch.setattr(retries, "asyncio", SimpleNamespace(sleep=sleep))
    return pauses


def test_tries_and_pauses_are_recorded(recorded: Recorded, slept: list[float]) -> None:
    failing = Failing(ApiError(429, retry_after="7"), ApiError(503))
    call = pilothouse.tool(name="fetch")(lambda: failing())

    @pilothouse.agent
    def agent() -> str:
        return pilothouse.retry(call)()

    assert agent() == "done"
    spans = [(span.name, (span.attributes or {}).get("pilothouse.retry.attempt")) for span in recorded.spans]
    assert spans == [
        ("execute_tool fetch", 1),
        ("waiting for rate limit", 1),
        ("execute_tool fetch", 2),
        ("waiting for retry", 2),
        ("execute_tool fetch", 3),
        ("invoke_agent agent", None),
    ]
    assert 7 <= slept[0] <= 7.5
    assert 0 <= slept[1] <= 1.0
    assert recorded.attributes("waiting for rate limit")["pilothouse.wait.reason"].endswith("ApiError: status 429")


def test_only_the_direct_children_are_tries(recorded: Recorded) -> None:
    @pilothouse.tool
    def outer() -> None:
        with pilothouse.span("inner"):
            pass

    pilothouse.retry(outer)()
    assert recorded.attributes("execute_tool outer")["pilothouse.retry.attempt"] == 1
    assert "pilothouse.retry.attempt" not in recorded.attributes("inner")


def test_a_coroutine_is_repeated(slept: list[float]) -> None:
    failing = Failing(TimeoutError(), ConnectionResetError())

    @pilothouse.retry(attempts=3)
    async def call() -> str:
        return failing()

    assert asyncio.run(call()) == "done"
    assert len(slept) == 2


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ApiError(400), False),
        (ApiError(404), False),
        (ApiError(529), True),
        (ValueError(), False),
        (TimeoutError(), True),
        (type("APITimeoutError", (Exception,), {})(), True),
        (type("RateLimitError", (Exception,), {})(), True),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_passes_is_tried_again(slept: list[float], error: BaseException, passes: bool) -> None:
    failing = Failing(error)
    if passes:
        assert pilothouse.retry(failing)() == "done"
    else:
        with pytest.raises(type(error)) as caught:
            pilothouse.retry(failing)()
        assert caught.value is error
    assert len(slept) == passes


def test_the_last_error_is_raised_as_it_is(slept: list[float]) -> None:
    errors = [ApiError(500) for _ in range(5)]
    failing = Failing(*errors)
    with pytest.raises(ApiError) as caught:
        pilothouse.retry(attempts=3, when=ApiError)(failing)()
    assert caught.value is errors[2]
    assert failing.calls == 3


def test_no_pause_ends_after_the_deadline(slept: list[float]) -> None:
    failing = Failing(ApiError(429, retry_after="4"), ApiError(429, retry_after="4"), ApiError(429, retry_after="4"))
    with pytest.raises(ApiError):
        pilothouse.retry(attempts=10, deadline_s=10)(failing)()
    assert failing.calls == 3
    assert sum(slept) < 10


def test_generators_and_nonsense_are_refused() -> None:
    def stream() -> Any:
        yield 1

    with pytest.raises(BadRequest, match="generator"):
        pilothouse.retry(stream)
    with pytest.raises(BadRequest, match="at least once"):
        pilothouse.retry(attempts=0)


@given(st.integers(1, 20), st.floats(0.01, 5), st.floats(0.01, 60))
def test_a_pause_stays_within_its_bounds(attempt: int, base: float, most: float) -> None:
    policy = retries.Policy(attempts=100, base_s=base, most_s=most, deadline_s=None, when=lambda _: True)
    pause = policy.pause_s(attempt, ApiError(500), 0.0)
    assert pause is not None
    assert 0 <= pause <= min(most, base * 2 ** (attempt - 1))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"Retry_After": "3"}, 3.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_the_server_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retries.retry_after_s(ApiError(429, **headers)) == seconds
