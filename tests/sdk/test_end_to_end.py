"""A small agent with our decorators and the genuine SDKs, recorded into a real server: what the verbs give back."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing import ModelServer
from tests.live import LiveServer, running_server

AGENT = Path(__file__).parent / "agents/concierge.py"
SCRIPT: dict[str, Any] = {
    "rules": [
        {
            "user": "weather",
            "after_tool": "",
            "reply": {
                "calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "fly", "arguments": {}}]
            },
        },
        {"user": "weather", "after_tool": "*", "reply": {"text": "It is sunny in Paris."}},
        {"user": "limit", "times": 1, "reply": {"fault": {"status": 429, "retry_after_s": 0.05}}},
        {"user": "limit", "reply": {"text": "In the end it worked."}},
    ]
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("recorded"), traffic=False) as running:
        yield running


@pytest.fixture(scope="module")
def told(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the agent once; the trace of each of its runs by name."""
    with ModelServer(SCRIPT, seed=3) as models:
        done = subprocess.run(
            [sys.executable, str(AGENT)],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path_factory.mktemp("home")),
                "MODEL_URL": models.address,
                "PILOTHOUSE_URL": server.url,
                "PILOTHOUSE_API_KEY": server.key,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    traces: dict[str, str] = json.loads(done.stdout)
    server.wait_for("SELECT count() FROM spans", 14)
    return traces


def get(server: LiveServer, path: str) -> Any:
    request = urllib.request.Request(f"{server.url}/api/v1{path}", headers={"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["data"]


def raw(server: LiveServer, path: str) -> bytes:
    request = urllib.request.Request(f"{server.url}/api/v1{path}", headers={"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def spans(server: LiveServer, trace: str) -> list[dict[str, Any]]:
    return get(server, f"/traces/{trace}")["spans"]


def test_every_call_hangs_where_it_was_made(server: LiveServer, told: dict[str, str]) -> None:
    found = spans(server, told["openai"])
    names = {span["span_id"]: span["name"] for span in found}
    tree = [(names.get(span["parent_span_id"], ""), span["kind"], span["name"]) for span in found]
    assert tree == [
        ("", "agent", "invoke_agent concierge"),
        ("invoke_agent concierge", "model", "chat gpt-4.1-mini"),
        ("invoke_agent concierge", "tool", "execute_tool get_weather"),
        ("invoke_agent concierge", "model", "chat gpt-4.1-mini"),
    ]
    assert {span["dialect"] for span in found} == {"pilothouse"}
    assert {span["status"] for span in found} == {"ok"}
    assert sum(float(span["cost_usd"] or 0) for span in found) > 0


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_decision_has_its_exact_prompt_and_the_step_that_carried_it_out(
    server: LiveServer, told: dict[str, str], provider: str
) -> None:
    trace = told[provider]
    rows = get(server, f"/traces/{trace}/decisions")["rows"]
    assert [row["valid"] for row in rows] == [False, True]
    first = get(server, f"/traces/{trace}/spans/{rows[0]['step']}/decision")
    assert first["judged_by"] == "recorder"
    assert first["invalid_reason"].startswith("no tool 'fly' was offered")
    assert first["tools_offered"] == ["get_weather", "book_room"]
    assert first["tools_not_chosen"] == ["book_room"]
    assert [(action["tool"], action["outcome"]) for action in first["actions"]] == [("get_weather", "ok"), ("fly", "")]
    done = first["actions"][0]["step"]
    assert next(span for span in spans(server, trace) if span["step"] == done)["tool_name"] == "get_weather"
    prompt = raw(server, f"/traces/{trace}/spans/{rows[0]['step']}/decision?field=prompt")
    assert hashlib.sha256(prompt).hexdigest() == first["prompt_sha256"]
    assert first["prompt_from"] == "recorder"
    assert first["prompt_intact"] is True
    assert [message["role"] for message in json.loads(prompt)["messages"]] == ["system", "user"]
    assert "weather" in json.loads(prompt)["messages"][1]["parts"][0]["content"]
    assert json.loads(first["raw_response"])["id"]
    second = get(server, f"/traces/{trace}/spans/{rows[1]['step']}/decision")
    assert [action["type"] for action in second["actions"]] == ["answer"]
    assert second["prompt_intact"] is True


def test_a_rate_limit_is_waited_for_and_every_try_is_seen(server: LiveServer, told: dict[str, str]) -> None:
    trace = told["retried"]
    found = spans(server, trace)
    assert [(span["kind"], span["status"]) for span in found] == [
        ("agent", "ok"),
        ("model", "error"),
        ("waiting", "ok"),
        ("model", "ok"),
    ]
    states = get(server, f"/traces/{trace}/states")
    assert [(change["to_state"], change["said"]) for change in states["transitions"]] == [
        ("planning", True),
        ("waiting", False),
        ("retrying", False),
    ]
    assert states["hidden_retries"] == 1
    spent = {share["state"]: share for share in states["by_state"]}
    assert spent["waiting"]["ms"] >= 50
    assert float(spent["retrying"]["cost_usd"]) > 0
    kinds = {share["what"]: share for share in get(server, f"/traces/{trace}/breakdown")["by_kind"]}
    assert kinds["waiting"]["self_ms"] >= 50


def test_a_failure_has_its_stack_its_inputs_and_what_led_there(server: LiveServer, told: dict[str, str]) -> None:
    trace = told["failed"]
    tool = next(span for span in spans(server, trace) if span["kind"] == "tool" and span["status"] == "error")
    detail = get(server, f"/traces/{trace}/spans/{tool['step']}")
    assert tool["error_type"] == "KeyError"
    assert "concierge.py" in detail["error_stack"]
    assert json.loads(detail["error_inputs"]) == {"room": "12", "nights": 2}
    assert detail["attributes"]["pilothouse.tool.effect"] == "external"
    assert detail["attributes"]["pilothouse.tool.idempotency_key"] == "room-12-2"
    assert detail["attributes"]["pilothouse.tool.reversible_by"] == "cancel_room"
    assert detail["attributes"]["pilothouse.tool.outcome"] == "error"
    assert [(call["name"], call["status"]) for call in detail["led_by"]] == [
        ("execute_tool get_weather", "ok"),
        ("execute_tool look_up", "soft_error"),
    ]
    assert all(call["step"] for call in detail["led_by"])


def test_session_user_and_feature_are_on_every_span(server: LiveServer, told: dict[str, str]) -> None:
    query = f"SELECT DISTINCT session_id, user_id, feature FROM spans WHERE trace_id = '{told['failed']}'"
    assert server.sql(query) == [["visit-1", "guest-7", "booking"]]
