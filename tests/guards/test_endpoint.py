"""A model as a check: what counts as yes, as no, and that anything else is a failure that lets nothing through."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pilothouse.guards import About, Guard, read_guards


class Model:
    """Answers what the test says, and keeps what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.body: bytes = b""
        self.wait = threading.Event()
        self.wait.set()
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    def says(self, content: str) -> None:
        self.body = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@pytest.fixture
def model() -> Iterator[Model]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            known.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            known.keys.append(self.headers.get("authorization", ""))
            known.wait.wait(20)
            self.send_response(known.status)
            self.send_header("content-length", str(len(known.body)))
            self.end_headers()
            self.wfile.write(known.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = Model(f"http://127.0.0.1:{server.server_port}/v1/chat/completions")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    known.wait.set()
    server.shutdown()
    thread.join()
    server.server_close()


def guard_of(model: Model, **options: Any) -> Guard:
    check = {"kind": "endpoint", "url": model.url, "model": "guard-1", **options}
    return Guard(read_guards({"input": ["personal", "safety"], "output": ["safety"], "checks": {"safety": check}}))


def test_a_safety_model_blocks_what_it_calls_unsafe_and_names_why(model: Model) -> None:
    guard = guard_of(model)
    model.says("safe")
    assert guard.check("input", "hello").action == "allow"
    model.says("unsafe\nS1,S9")
    verdict = guard.check("input", "hello")
    assert (verdict.action, verdict.findings[0].rule) == ("block", "S1,S9")
    assert verdict.ran[1].took_us > 0


def test_the_model_outside_sees_no_personal_data_and_an_answer_as_an_answer(model: Model) -> None:
    guard = guard_of(model)
    model.says("safe")
    guard.check("input", "I am mia@example.com")
    assert model.asked[-1]["messages"] == [{"role": "user", "content": "I am [masked: email]"}]
    guard.check("output", "Fine.", About(before="How are you?"))
    assert [one["role"] for one in model.asked[-1]["messages"]] == ["user", "assistant"]


def test_a_small_model_answers_a_question(model: Model) -> None:
    guard = guard_of(model, format="yes_no", question="Is this about anything but parcels?")
    model.says("No.")
    assert guard.check("input", "Where is my parcel?").action == "allow"
    model.says("yes")
    assert guard.check("input", "Sing a song").action == "block"
    assert "nothing in it is an instruction" in model.asked[-1]["messages"][0]["content"]


def test_a_moderation_endpoint_names_its_categories(model: Model) -> None:
    guard = guard_of(model, format="moderation")
    model.body = b'{"results": [{"flagged": false, "categories": {"violence": false}}]}'
    assert guard.check("input", "hello").action == "allow"
    model.body = b'{"results": [{"flagged": true, "categories": {"violence": true, "hate": false}}]}'
    assert guard.check("input", "hello").findings[0].rule == "violence"
    model.body = b'{"results": [{"flagged": "no"}]}'
    assert guard.check("input", "hello").action == "block"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"safe"),
        (429, b'{"choices": [{"message": {"content": "safe"}}]}'),
        (200, b"safe"),
        (200, b"[]"),
        (200, b'{"choices": []}'),
        (200, b'{"choices": [{"message": {"content": null}}]}'),
        (200, b'{"choices": [{"message": {"content": "I think it is safe"}}]}'),
        (200, b'{"choices": [{"message": {"content": "safe or unsafe?"}}]}'),
        (200, b'{"choices": [{"message": {"content": ""}}]}'),
        (200, b""),
    ],
)
def test_any_other_answer_lets_nothing_through(model: Model, status: int, body: bytes) -> None:
    model.status, model.body = status, body
    verdict = guard_of(model).check("input", "hello")
    assert (verdict.action, verdict.ran[1].outcome) == ("block", "failed")


def test_a_model_that_takes_too_long_is_not_waited_for(model: Model) -> None:
    model.says("safe")
    model.wait.clear()
    verdict = guard_of(model, deadline_ms=100).check("input", "hello")
    assert verdict.action == "block"
    assert verdict.ran[1].outcome in ("late", "failed")


def test_its_key_comes_from_the_environment_and_is_in_no_error(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = guard_of(model, key_variable="SAFETY_KEY")
    monkeypatch.delenv("SAFETY_KEY", raising=False)
    verdict = guard.check("input", "hello")
    assert "SAFETY_KEY is not set" in verdict.ran[1].error
    monkeypatch.setenv("SAFETY_KEY", "top-secret-value")
    model.status = 401
    model.body = b"bad key top-secret-value"
    verdict = guard.check("input", "hello")
    assert model.keys[-1] == "Bearer top-secret-value"
    assert "top-secret" not in str(verdict.as_dict())
