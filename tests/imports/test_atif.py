"""ATIF is read into agents, calls, tools and scores, whatever it leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilothouse.imports.trajectory import Foreign

from .atif_rules import check
from .support import SAMPLES, answer, conversation, read, read_text, scores, skipped, steps

SAMPLE = SAMPLES / "harbor.trajectory.json"


def of(*told: dict[str, Any], **more: Any) -> str:
    numbered = [{"step_id": number, **step} for number, step in enumerate(told, 1)]
    return json.dumps(
        {"schema_version": "ATIF-v1.4", "agent": {"name": "a", "version": "1"}, "steps": numbered, **more}
    )


def test_the_sample_is_a_trajectory_by_the_rules() -> None:
    check(json.loads(SAMPLE.read_text()))


def test_calls_carry_what_was_said_before_them() -> None:
    items = read("atif", SAMPLE)
    first, second, *_ = steps(items, "model")
    asked = [
        ("system", "You answer questions about stock."),
        ("user", "Are there forty blue lamps, and who packs them?"),
    ]
    assert conversation(first) == asked
    said = (
        "assistant",
        "(Two places have lamps, so two calls at once.) I look at both warehouses. "
        "stock_level#call_north stock_level#call_south",
    )
    assert answer(first) == [said]
    results = [("tool", "#call_north=28 pieces"), ("tool", "#call_south=warehouse south does not answer")]
    assert conversation(second) == [*asked, said, *results]
    assert (first.model, first.cost_usd) == ("gpt-4o-2024-08-06", 0.00185)
    assert first.tokens is not None
    assert (first.tokens.input, first.tokens.cache_read, first.tokens.output, first.tokens.reasoning) == (
        520,
        200,
        80,
        12,
    )


def test_tools_are_joined_with_their_results_and_failures() -> None:
    north, south, delegate = steps(read("atif", SAMPLE), "tool")
    assert (north.tool, north.call_id, north.output_value, north.tool_error) == (
        "stock_level",
        "call_north",
        "28 pieces",
        "",
    )
    assert json.loads(north.input_value) == {"article": "lamp-blue", "place": "north"}
    assert south.tool_error == "warehouse south does not answer"
    assert delegate.output_value == "Rosa packs them."


def test_an_embedded_agent_is_a_child_of_the_call_that_started_it() -> None:
    items = read("atif", SAMPLE)
    main, packer = steps(items, "agent")
    delegate = steps(items, "tool")[-1]
    assert (main.parent, packer.parent, packer.agent) == ("", delegate.id, "packer")
    assert main.input_value == "Are there forty blue lamps, and who packs them?"
    assert main.output_value == "28 of 40 are there; Rosa packs them."
    assert [step.parent for step in steps(items, "model") if step.agent == "packer"] == [packer.id]


def test_metrics_of_the_whole_are_scores_and_totals() -> None:
    items = read("atif", SAMPLE)
    assert [(score.name, score.value, score.label) for score in scores(items)] == [
        ("reward", 0.75, ""),
        ("resolved", 0.0, "false"),
    ]
    total = steps(items, "agent")[0].tokens
    assert total is not None and (total.input, total.output) == (1860, 155)


def test_reading_twice_gives_the_same_ids(tmp_path: Path) -> None:
    def ids(path: Path) -> list[tuple[str, str, str]]:
        return [(step.trace, step.id, step.parent) for step in steps(read("atif", path))]

    moved = tmp_path / "elsewhere.json"
    moved.write_bytes(SAMPLE.read_bytes())
    assert ids(moved) == ids(SAMPLE)


def test_steps_without_times_stay_in_order(tmp_path: Path) -> None:
    text = of(
        {"source": "user", "message": "one"},
        {
            "source": "agent",
            "message": "two",
            "tool_calls": [{"tool_call_id": "c", "function_name": "f", "arguments": {}}],
        },
        {"source": "agent", "message": "three"},
    )
    found = steps(read_text("atif", tmp_path, text))
    assert [step.kind for step in found] == ["agent", "model", "tool", "model"]
    assert found[0].end_ns >= found[-1].end_ns > 0


def test_a_dispatch_without_a_model_is_no_model_call(tmp_path: Path) -> None:
    call = {"tool_call_id": "c", "function_name": "f", "arguments": {}}
    items = read_text(
        "atif", tmp_path, of({"source": "agent", "message": "", "tool_calls": [call], "llm_call_count": 0})
    )
    assert steps(items, "model") == []
    (dispatch,) = steps(items, "chain")
    assert [step.parent for step in steps(items, "tool")] == [dispatch.id]


def test_copied_context_is_said_but_not_counted_again(tmp_path: Path) -> None:
    text = of(
        {"source": "user", "message": "go on"},
        {"source": "agent", "message": "done before", "is_copied_context": True, "metrics": {"prompt_tokens": 10}},
        {"source": "agent", "message": "new", "metrics": {"prompt_tokens": 20, "completion_tokens": 1}},
    )
    (call,) = steps(read_text("atif", tmp_path, text), "model")
    assert conversation(call) == [("user", "go on"), ("assistant", "done before")]
    assert call.tokens is not None and call.tokens.input == 20


def test_one_a_line_goes_on_after_a_broken_line(tmp_path: Path) -> None:
    good = of({"source": "user", "message": "hi"}, session_id="s")
    items = read_text("atif", tmp_path, f"{good}\n{good[:40]}\n{good}", "many.jsonl")
    assert [item.where for item in skipped(items)] == ["line 2"]
    assert len(steps(items, "agent")) == 2


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"ATIF"', '{"steps": []}', "[1, 2]"])
def test_another_kind_of_json_is_foreign(tmp_path: Path, text: str) -> None:
    with pytest.raises(Foreign):
        read_text("atif", tmp_path, text)
