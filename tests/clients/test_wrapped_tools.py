"""Our one tool wrapper around the genuine tools of LangChain and pydantic-ai."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.clients.client_runs import AGENTS, ROOT, interpreter_of

pytestmark = pytest.mark.clients


def test_tools_of_langchain_and_pydantic_ai_are_recorded() -> None:
    interpreter = interpreter_of("clients", ("langchain_core", "pydantic_ai", "opentelemetry.sdk"))
    if interpreter is None:
        pytest.skip("langchain and pydantic-ai are not installed; run python -m tests.clients.install_clients")
    done = subprocess.run(
        [*interpreter, str(AGENTS / "wrapped_tools.py")],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    recorded = sorted(map(str, json.loads(done.stdout)))
    assert recorded == sorted(
        map(
            str,
            [
                ["execute_tool multiply", {"a": 2, "b": 3}, "6", False],
                ["execute_tool multiply", {"a": 2, "b": 4}, "8", False],
                ["execute_tool multiply", {"a": 2, "b": 5}, "10", False],
                ["execute_tool divide", {"a": 6, "b": 3}, "2.0", False],
                ["execute_tool divide", {"a": 6, "b": 2}, "3.0", False],
                ["execute_tool greet", {"name": "a"}, "hello a", True],
                ["execute_tool greet again", {"name": "a"}, "hello a", True],
            ],
        )
    )
