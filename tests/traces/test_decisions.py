"""Every framework's model calls have a decision record, and every trace its states, made from what is stored."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests import live
from tests.live import CAPTURES, LiveServer, running_server

QUESTION = "What are the weather and the time in Paris?"
DIALECTS = (
    *("google_adk", "langfuse", "logfire", "mlflow", "openinference", "openllmetry", "otel_genai", "pilothouse"),
    "vercel_ai",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that has every recording, each with trace ids of its own."""
    with running_server(tmp_path_factory.mktemp("decisions"), traffic=False) as running:
        for file in sorted(CAPTURES.glob("*.json")):
            client, signal, _ = file.name.split(".")
            content = json.loads(file.read_text())
            for body in content if isinstance(content, list) else [content]:
                moved = live._moved(body, time.time_ns() - live._latest(body) - 60_000_000_000)
                running.post(f"/v1/{signal}", _own(moved, client))
        running.wait_for("SELECT uniqExact(trace_id) FROM traces", 60)
        yield running


def _own(value: Any, client: str) -> Any:
    if isinstance(value, dict):
        return {
            key: hashlib.md5(f"{client}{inner}".encode()).hexdigest()
            if key == "traceId" and inner
            else _own(inner, client)
            for key, inner in value.items()
        }
    return [_own(item, client) for item in value] if isinstance(value, list) else value


def get(server: LiveServer, path: str) -> Any:
    return json.loads(raw(server, path))["data"]


def raw(server: LiveServer, path: str) -> bytes:
    request = urllib.request.Request(f"{server.url}/api/v1{path}", headers={"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def calls(server: LiveServer, dialect: str) -> list[dict[str, Any]]:
    """The decisions of the calls of a dialect that were asked the question and have its messages."""
    rows = server.sql(
        f"SELECT trace_id, span_id FROM spans WHERE dialect = '{dialect}' AND kind = 'model' AND duplicate_of = '' "
        f"AND status = 'ok' AND input_text LIKE '%{QUESTION}%' AND length(tools_offered) > 0 ORDER BY start_time"
    )
    return [get(server, f"/traces/{trace}/spans/{span}/decision") for trace, span in rows]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_decision_is_made_of_what_any_framework_sends(server: LiveServer, dialect: str) -> None:
    found = calls(server, dialect)
    assert found
    for record in found:
        assert [action["tool"] for action in record["actions"]] == ["get_weather", "get_time"]
        assert [action["arguments"] for action in record["actions"]] == [{"city": "Paris"}] * 2
        assert record["valid"] is True
        assert record["invalid_reason"] == ""
        assert record["judged_by"] == ("recorder" if dialect == "pilothouse" else "reader")
        assert set(record["tools_offered"]) >= {"get_weather", "get_time"}
        assert not {"get_weather", "get_time"} & set(record["tools_not_chosen"])
        assert hashlib.sha256(record["prompt"].encode()).hexdigest() == record["prompt_sha256"]
        assert QUESTION in record["prompt"]
        assert [message["role"] for message in json.loads(record["prompt"])["messages"]] == ["system", "user"]
        assert record["answer"]
    assert any(action["step"] and action["outcome"] == "ok" for record in found for action in record["actions"])
    if dialect == "pilothouse":
        assert all(json.loads(record["raw_response"])["choices"] for record in found)


def test_the_same_prompt_has_the_same_hash_whoever_records_it(server: LiveServer) -> None:
    prompts = {
        json.dumps(json.loads(record["prompt"])["messages"], sort_keys=True)
        for dialect in ("openinference", "openllmetry", "pilothouse")
        for record in calls(server, dialect)
        if record["model"].startswith("gpt")
    }
    assert len(prompts) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_list_says_what_the_records_say(server: LiveServer, dialect: str) -> None:
    ((trace,), *_) = server.sql(
        f"SELECT trace_id FROM spans WHERE dialect = '{dialect}' AND kind = 'model' AND length(tools_offered) > 0 "
        f"AND input_text LIKE '%{QUESTION}%' LIMIT 1"
    )
    rows = get(server, f"/traces/{trace}/decisions")["rows"]
    assert rows
    for row in rows:
        record = get(server, f"/traces/{trace}/spans/{row['step']}/decision")
        assert row["valid"] == record["valid"] or record["judged_by"] == "reader"
        assert len(row["actions"]) == len(record["actions"])
        assert row["tools_not_chosen"] == record["tools_not_chosen"]


def test_a_failed_call_is_not_judged(server: LiveServer) -> None:
    ((trace, span), *_) = server.sql(
        "SELECT trace_id, span_id FROM spans WHERE dialect = 'pilothouse' AND kind = 'model' AND status = 'error'"
    )
    record = get(server, f"/traces/{trace}/spans/{span}/decision")
    assert (record["valid"], record["actions"], record["status"]) == (None, [], "error")
    assert record["prompt_intact"] is True


def test_pages_of_decisions_go_on_where_the_last_one_ended(server: LiveServer) -> None:
    ((trace,), *_) = server.sql("SELECT trace_id FROM traces WHERE model_calls >= 2 ORDER BY model_calls DESC LIMIT 1")
    whole = get(server, f"/traces/{trace}/decisions")
    seen: list[Any] = []
    after = 0
    while after is not None:
        page = get(server, f"/traces/{trace}/decisions?limit=1&after_step={after}")
        seen += page["rows"]
        after = page["next_step"]
    assert seen == whole["rows"]
    assert whole["total"] == len(whole["rows"])


def test_what_is_no_model_call_decides_nothing(server: LiveServer) -> None:
    ((trace, span), *_) = server.sql("SELECT trace_id, span_id FROM spans WHERE kind = 'tool' LIMIT 1")
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, f"/traces/{trace}/spans/{span}/decision")
    assert caught.value.code == 400
    assert "only model calls decide" in caught.value.read().decode()


def test_states_are_read_from_what_our_recorder_says(server: LiveServer) -> None:
    ((trace,), *_) = server.sql(
        f"SELECT trace_id FROM spans WHERE dialect = 'pilothouse' AND input_text LIKE '%{QUESTION}%' LIMIT 1"
    )
    states = get(server, f"/traces/{trace}/states")
    told = [(change["from_state"], change["to_state"]) for change in states["transitions"]]
    assert told == [("", "planning"), ("planning", "executing"), ("executing", "planning"), ("planning", "answering")]
    shares = {share["state"]: share for share in states["by_state"]}
    assert shares["planning"]["model_calls"] == 2
    assert shares["executing"]["tool_calls"] == 2
    assert float(shares["planning"]["cost_usd"]) > 0
    breakdown = get(server, f"/traces/{trace}/breakdown")
    spent = sum(share["ms"] for share in states["by_state"])
    assert spent == pytest.approx(breakdown["duration_ms"], abs=0.1)


def test_a_repeated_failing_call_of_any_framework_is_a_hidden_retry(server: LiveServer) -> None:
    rows = server.sql("SELECT trace_id FROM traces WHERE errors >= 2")
    found = [get(server, f"/traces/{trace}/states") for (trace,) in rows]
    for states in found:
        for change in states["transitions"]:
            if change["to_state"] == "retrying":
                assert not change["said"]
                assert "failed" in change["reason"]
