"""Refunds that wait for a person, in the genuine LangGraph, openai-agents and Claude Agent SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing import ModelServer
from tests.clients.client_runs import AGENTS, ROOT, interpreter_of

pytestmark = [pytest.mark.clients, pytest.mark.slow]

MODULES = {
    "openai_agents_approvals": ("agents", "sqlalchemy", "cel"),
    "langgraph_approvals": ("langgraph", "langchain", "langchain_openai", "sqlalchemy", "cel"),
}
REFUNDS = [{"name": "refund", "arguments": {"order": order, "usd": 50.0}} for order in (7, 8)]
SCRIPT: dict[str, Any] = {
    "rules": [
        {"seen": "refunded 5.0", "reply": {"text": "Order 7 got 5 dollars; order 8 was refused."}},
        {"seen": "waits for a person", "reply": {"text": "They wait."}},
        {"reply": {"calls": REFUNDS}, "times": 1},
    ]
}


def run(program: str, folder: Path, modules: tuple[str, ...], model_url: str) -> Any:
    interpreter = interpreter_of("clients", modules)
    if interpreter is None:
        pytest.skip("not installed; run python -m tests.clients.install_clients")
    done = subprocess.run(
        [*interpreter, str(AGENTS / f"{program}.py")],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/tmp"),
            "PYTHONPATH": str(ROOT / "src"),
            "PILOTHOUSE_RUNTIME": str(folder),
            "MODEL_URL": model_url,
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
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("program", list(MODULES))
def test_what_a_person_decides_is_what_runs_once(program: str, tmp_path: Path) -> None:
    with ModelServer(SCRIPT, seed=7) as models:
        said = run(program, tmp_path, MODULES[program], models.address)
    # Resumed, or approved by hand, before anybody decided: nothing ran.
    if program == "langgraph_approvals":
        assert said["early"] == [2, []]
    else:
        ran, outputs = said["early"]
        assert ran == [] and len(outputs) == 2 and all("waits for a person" in text for text in outputs)
        assert said["left"] == 0
    # What was edited ran as edited, once; what was refused did not, and the model was told why.
    assert said["ran"] == [[7, 5.0]]
    assert said["states"] == {"7": "executed", "8": "rejected"}
    assert any("refunded 5.0 of order 7" in text for text in said["outputs"])
    assert any("A person refused this call: order 8 was delivered" in text for text in said["outputs"])
    assert said["sentence"] == "Refund 50.00 dollars of order 7."


def test_the_claude_sdk_is_told_no_unless_a_person_said_yes(tmp_path: Path) -> None:
    said = run("claude_agent_approvals", tmp_path, ("claude_agent_sdk", "sqlalchemy", "cel"), "")
    assert said["options"] == ["PostToolUse", "PostToolUseFailure", "PreToolUse"] and said["on_failure"] == "block"
    assert said["free"] == {} and said["waiting"] == "deny" and "waits for a person" in said["waiting_why"]
    assert (said["allowed"], said["input"]) == ("allow", {"order": 7, "usd": 5.0})
    assert said["state"] == "executed" and said["again"] == "deny", "one yes is for one call"
    assert said["broken"] == ["deny", "deny"], "a desk that fails is no yes"
    assert said["asked_by_sdk"] == ["deny", "allow"]


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("openai_agents_approvals", "openai-agents"),
        ("langgraph_approvals", "langchain langgraph"),
        ("claude_agent_approvals", "claude-agent-sdk"),
    ],
)
def test_a_missing_package_names_its_command(module: str, package: str, tmp_path: Path) -> None:
    for name in ("agents", "langchain", "claude_agent_sdk"):
        (tmp_path / name).mkdir()
        text = f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
        (tmp_path / name / "__init__.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", f"import pilothouse.runtime.adapters.{module}"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and f"pip install {package}" in done.stderr
