"""The runtime's adapters in the genuine openai-agents and LangGraph, with a model that does what a bad one does."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing import ModelServer
from tests.clients.client_runs import AGENTS, ROOT, interpreter_of

pytestmark = [pytest.mark.clients, pytest.mark.slow]

MODULES = {
    "openai_agents_kept": ("agents", "jq", "sqlalchemy"),
    "langgraph_kept": ("langgraph", "langchain", "langchain_openai", "jq", "sqlalchemy"),
}


def calls(name: str, **arguments: Any) -> dict[str, Any]:
    return {"reply": {"calls": [{"name": name, "arguments": arguments}]}, "times": 1}


def says(text: str) -> dict[str, Any]:
    return {"reply": {"text": text}, "times": 1}


PROGRAM = '.[] | select(.state == "declined") | .id'
ANSWERED = [
    {**calls("todo_update", id="2", state="completed", note="refund 77"), "seen": "answered: yes, refund it"},
    {**says("Order 7 is refunded."), "seen": "answered: yes, refund it|refund 77"},
]
SCRIPT: dict[str, Any] = {
    "rules": [
        *ANSWERED,
        calls("list_orders"),
        calls("todo_write", tasks=["find the declined order", "refund it"]),
        {**calls("jq", id="{match}", program=PROGRAM), "seen": "(data_[0-9a-f]{10})"},
        # Early: nothing is done yet.
        says("All done!"),
        calls("todo_update", id="1", state="completed", note="order 7"),
        calls("todo_update", id="2", state="blocked", note="may I refund order 7?"),
        says("I have asked."),
    ]
}


@pytest.mark.parametrize("program", list(MODULES))
def test_a_bad_model_is_kept_to_its_task(program: str, tmp_path: Path) -> None:
    interpreter = interpreter_of("clients", MODULES[program])
    if interpreter is None:
        pytest.skip("not installed; run python -m tests.clients.install_clients")
    with ModelServer(SCRIPT, seed=7) as models:
        done = subprocess.run(
            [*interpreter, str(AGENTS / f"{program}.py")],
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/tmp"),
                "PYTHONPATH": str(ROOT / "src"),
                "PILOTHOUSE_RUNTIME": str(tmp_path),
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
        sent = [request.body for request in models.requests]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["output"] == "Order 7 is refunded."
    assert said["questions"] == ["2. refund it: may I refund order 7?"]
    # The large result became a preview and an id, and jq found the one order in it.
    large, plan, found = said["tool_outputs"][:3]
    assert "list_orders is kept as data_" in large and len(large) <= 10_000
    assert "> Refund the declined order" in plan and found == "7"
    # The request and the plan stand at the tail of every call, once, and not in the history.
    for number, body in enumerate(sent):
        messages: list[dict[str, Any]] = body["messages"]  # type: ignore[assignment]  # of the wire
        plans = [one for one in messages if one["role"] == "user" and "word for word" in json.dumps(one["content"])]
        assert plans == [messages[-1]], number
        assert "Refund the declined order" in json.dumps(plans[0]["content"])
    pushed = json.dumps(sent[4]["messages"])
    assert "Not finished: 2 of your tasks are open" in pushed
    assert len(sent) == 9


@pytest.mark.parametrize(
    ("module", "package"), [("openai_agents", "openai-agents"), ("langgraph", "langchain langgraph")]
)
def test_a_missing_package_names_its_command(module: str, package: str, tmp_path: Path) -> None:
    import sys

    for name in ("agents", "langchain"):
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
