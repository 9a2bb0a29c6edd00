"""Agents of the genuine openai-agents and LangGraph as targets of an evaluation: tools played back, history, decisions."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing import ModelServer
from tests.clients.client_runs import AGENTS, ROOT, interpreter_of

pytestmark = pytest.mark.clients

MODULES = {"openai_agents": ("agents",), "langgraph": ("langgraph", "langchain", "langchain_openai")}
CALL = {"calls": [{"name": "get_order", "arguments": {"id": 7}}]}
SCRIPT: dict[str, Any] = {
    "rules": [
        {"after_tool": "get_order", "reply": {"text": "It says {result}"}},
        {"after_tool": "*", "reply": {"text": "Then {result}"}},
        {"user": "old tool", "reply": {"calls": [{"name": "look_up", "arguments": {"id": 7}}]}},
        {"user": "pay", "reply": {"calls": [{"name": "refund", "arguments": {"id": 7}}]}},
        {"user": "thanks", "seen": "It says .{0,5}(late)", "reply": {"text": "You are welcome, it was {match}"}},
        {"user": "Refund", "reply": CALL},
    ]
}
STUBS = {"calls": [{"name": "get_order", "arguments": {"id": 7}, "result": {"late": True}}]}
HISTORY = [
    {"role": "system", "content": "Of the recording"},
    {"role": "user", "content": "Refund order 7"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "get_order", "arguments": '{"id": 7}'}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "recorded"},
]
CHECK = {"checks": [{"at_most": {"model_calls": 9}}]}
CASES: list[dict[str, Any]] = [
    {"id": "played", "input": "Refund order 7", "stubs": STUBS, "checks": [{"tool": "get_order"}]},
    {"id": "live", "input": "Refund order 7", **CHECK},
    {"id": "failed", "input": "Refund order 7", "stubs": {"calls": [{"name": "get_order", "error": "down"}]}, **CHECK},
    {"id": "gone", "input": "use the old tool", "stubs": {"calls": [{"name": "look_up", "result": 1}]}, **CHECK},
    {"id": "writes", "input": "pay it", **CHECK},
    {"id": "history", "input": HISTORY, **CHECK},
    {"id": "session", "input": {"turns": ["Refund order 7", "thanks"]}, "stubs": STUBS, **CHECK},
    {"id": "decision", "input": "pay it", "settings": {"decision_only": True}, "checks": [{"tool": "refund"}]},
]


@pytest.mark.parametrize("program", list(MODULES))
def test_an_agent_is_a_target(program: str, tmp_path: Path) -> None:
    interpreter = interpreter_of("clients", MODULES[program])
    if interpreter is None:
        pytest.skip("not installed; run python -m tests.clients.install_clients")
    with ModelServer(SCRIPT, seed=7) as models:
        done = subprocess.run(
            [*interpreter, str(AGENTS / "eval_targets.py"), program],
            input=json.dumps(CASES),
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/tmp"),
                "PYTHONPATH": str(ROOT / "src"),
                "MODEL_URL": models.address,
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1",
                "PYTHONWARNINGS": "ignore",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        sent = [json.dumps(request.body) for request in models.requests]
    found = json.loads(done.stdout.splitlines()[-1])
    said = {id: (one["outcome"], one["text"], one["tools"]) for id, one in found.items()}
    order = ['get_order({"id":7})']
    assert said["played"] == ("pass", 'It says {"late": true}', order)
    assert said["live"] == ("pass", 'It says {"live": 7}', order)
    assert said["failed"] == ("pass", "It says error: down", order)
    assert said["history"] == ("pass", "It says recorded", [])
    assert said["session"] == ("pass", "You are welcome, it was late", order)
    # A call of a tool that is not there any more fails, whatever a stub says.
    assert said["gone"][0] == "fail" and "no tool 'look_up' any more" in found["gone"]["why"]
    assert said["writes"][0] == "fail" and "refund writes" in found["writes"]["why"]
    assert said["decision"] == ("pass", "", ['refund({"id":7})'])
    assert found["decision"]["model_calls"] == 1
    assert found["played"]["model_calls"] == 2 and found["played"]["tokens"] > 0
    # The instructions are today's, not those of the recording.
    assert not any("Of the recording" in body for body in sent)
