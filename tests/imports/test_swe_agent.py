"""SWE-agent and mini-swe-agent trajectories are read into calls, actions and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilothouse.imports.trajectory import Foreign

from .support import SAMPLES, answer, conversation, read, read_text, scores, steps

RUN = SAMPLES / "swe-agent/run-7/shop__shop-12/shop__shop-12.traj"
MINI = SAMPLES / "swe-agent/run-8/shop__shop-13.traj.json"


def test_each_step_is_a_call_and_its_action() -> None:
    items = read("swe-agent", RUN)
    first, second = steps(items, "model")
    assert conversation(first) == [
        ("system", "You are a programmer."),
        ("user", "DEMONSTRATION"),
        ("user", "The lamp costs 0. Mend it."),
    ]
    assert answer(first) == [("assistant", "Let us look.\n open#call_o")]
    assert conversation(second)[-1] == ("tool", "#call_o=[File: prices.py]\nLAMP = 0")
    opened, submitted = steps(items, "tool")
    assert (opened.tool, opened.call_id, json.loads(opened.input_value)) == ("open", "call_o", {"path": "prices.py"})
    assert round((opened.end_ns - opened.start_ns) / 1e9, 2) == 0.5
    assert submitted.tool == "submit" and first.model == "gpt-4o"


def test_totals_cost_and_exit_status_belong_to_the_run() -> None:
    items = read("swe-agent", RUN)
    (run,) = steps(items, "agent")
    assert (run.input_value, run.cost_usd, run.error, run.agent_version) == (
        "The lamp costs 0. Mend it.",
        0.042,
        "",
        "1.1.0",
    )
    assert run.tokens is not None and (run.tokens.input, run.tokens.output) == (5200, 310)
    assert run.output_value.startswith("diff --git") and run.session == "run-7"
    assert [(score.name, score.value, score.label) for score in scores(items)] == [("exit_status", 1.0, "submitted")]


def test_the_small_agent_has_usage_and_times_of_each_call() -> None:
    items = read("swe-agent", MINI)
    first, second = steps(items, "model")
    tokens = first.tokens
    assert tokens is not None and (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning) == (
        800,
        256,
        40,
        16,
    )
    assert (first.cost_usd, first.model, first.end_ns) == (0.004, "gpt-5-mini", 1777888800500 * 10**6)
    (tool,) = steps(items, "tool")
    assert (tool.tool, tool.tool_error, tool.end_ns - tool.start_ns) == ("bash", "exit code 1", 10**9)
    assert conversation(second)[-1] == ("tool", "#c1=cat: prices.py: No such file")
    (run,) = steps(items, "agent")
    assert (run.error_type, run.agent) == ("LimitsExceeded", "mini-swe-agent")
    assert [(score.value, score.label) for score in scores(items)] == [(0.0, "LimitsExceeded")]


def test_runs_of_one_instance_are_told_apart_and_stay_the_same(tmp_path: Path) -> None:
    for run in ("a", "b"):
        place = tmp_path / run / RUN.parent.name
        place.mkdir(parents=True)
        (place / RUN.name).write_bytes(RUN.read_bytes())
    one, other = (steps(read("swe-agent", tmp_path / run / RUN.parent.name / RUN.name))[0].trace for run in ("a", "b"))
    assert one != other
    assert steps(read("swe-agent", RUN))[0].trace == steps(read("swe-agent", RUN))[0].trace


@pytest.mark.parametrize("text", ["{}", "[]", '{"trajectory": 1}', '{"messages": []}'])
def test_other_documents_are_foreign(tmp_path: Path, text: str) -> None:
    with pytest.raises(Foreign):
        read_text("swe-agent", tmp_path, text, "a.traj")
