"""Codex rollouts are read into turns, measured calls, tools and sub-agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilothouse.imports.formats import FORMATS
from pilothouse.imports.sources import find
from pilothouse.imports.trajectory import Foreign, Item, Step

from .support import SAMPLES, answer, conversation, read, read_text, skipped, steps

DAY = SAMPLES / "codex/2026/05/04"
SAMPLE = DAY / "rollout-2026-05-04T10-00-00-01970000-aaaa-7000-8000-000000000001.jsonl"
CHILD = "01970000-aaaa-7000-8000-000000000002"


def turns(items: list[Item]) -> list[Step]:
    return [step for step in steps(items, "agent") if not step.agent_id]


def text(*lines: tuple[str, dict[str, Any]]) -> str:
    told = [("session_meta", {"id": "s"}), *lines]
    return "\n".join(
        json.dumps({"timestamp": f"2026-05-04T10:00:{second:02d}Z", "type": kind, "payload": payload})
        for second, (kind, payload) in enumerate(told)
    )


def item(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "response_item", fields


def words(role: str, said: str) -> tuple[str, dict[str, Any]]:
    return item(type="message", role=role, content=[{"type": "output_text", "text": said}])


def test_each_task_is_a_trace_of_the_session() -> None:
    first, second = turns(read("codex", SAMPLE))
    assert (first.input_value, first.output_value) == ("Run the tests.", "The price was 0; I mended it.")
    assert (second.input_value, second.output_value) == ("Thanks. Anything else?", "No.")
    assert first.trace != second.trace and first.session == second.session
    assert second.attributes["pilothouse.state.reason"] == "interrupted"
    assert (first.agent, first.agent_version) == ("codex", "0.101.0")


def test_each_call_has_its_own_usage_once() -> None:
    items = read("codex", SAMPLE)
    calls = [step for step in steps(items, "model") if not step.agent_id]
    assert [
        (call.tokens.input, call.tokens.cache_read, call.tokens.output, call.tokens.reasoning)
        for call in calls
        if call.tokens
    ] == [
        (12000, 9000, 300, 120),
        (12500, 12000, 60, 0),
        (13000, 12500, 90, 10),
        (13500, 13000, 40, 0),
        (900, 0, 5, 0),
    ]
    assert [call.model for call in calls] == ["gpt-5"] * 4 + ["gpt-5-mini"]
    assert answer(calls[0]) == [("assistant", "(**Running them**) exec_command#call_1")]
    assert [role for role, _ in conversation(calls[0])] == ["system", "user", "user"]
    assert conversation(calls[1])[-1][1].startswith("#call_1=Chunk ID")


def test_tools_are_joined_with_their_outputs_and_exit_codes() -> None:
    tools = {step.call_id: step for step in steps(read("codex", SAMPLE), "tool")}
    assert (
        tools["call_1"].tool_error == "exit code 1" and tools["call_1"].end_ns - tools["call_1"].start_ns == 3 * 10**9
    )
    assert json.loads(tools["call_1"].input_value) == {"cmd": "pytest -q"}
    assert (tools["call_3"].tool, tools["call_3"].output_value, tools["call_3"].tool_error) == (
        "apply_patch",
        "Success.",
        "",
    )


def test_a_sub_agent_is_a_child_of_the_call_that_started_it() -> None:
    items = read("codex", SAMPLE)
    (agent,) = [step for step in steps(items, "agent") if step.agent_id]
    assert (agent.agent, agent.agent_id, agent.parent) == ("Boole", CHILD, "tool:call_2")
    assert (agent.input_value, agent.output_value) == ("Find the reason.", "prices.py sets 0.")
    (call,) = [step for step in steps(items, "model") if step.agent_id]
    # What it copied of its parent is not told again.
    assert conversation(call) == [("user", "Find the reason.")]
    assert call.trace == turns(items)[0].trace


def test_a_folder_gives_each_sub_agent_once() -> None:
    form = FORMATS["codex"]
    items = [one for source in find([SAMPLES / "codex"], form.endings) for one in form.read(source)]
    ids = [(step.trace, step.id) for step in steps(items)]
    assert len(ids) == len(set(ids)) and len(turns(items)) == 2


def test_compaction_empties_the_conversation_and_says_so() -> None:
    items = read("codex", SAMPLE)
    last = steps(items, "model")[-1]
    assert last.attributes["gen_ai.conversation.compacted"] is True
    assert conversation(last) == [
        ("user", "Run the tests."),
        ("user", "Tests ran; the price is mended."),
        ("user", "Thanks. Anything else?"),
    ]
    (compaction,) = steps(items, "other")
    assert compaction.output_value == "Tests ran; the price is mended."


def test_a_rollout_that_grew_keeps_the_ids_it_had(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    path = tmp_path / SAMPLE.name
    known: set[tuple[str, str]] = set()
    for end in range(7, len(lines) + 1, 2):
        path.write_text("\n".join(lines[:end]))
        found = {(step.trace, step.id) for step in steps(read("codex", path))}
        assert known <= found
        known = found


def test_older_versions_without_tasks_have_turns(tmp_path: Path) -> None:
    told = ("event_msg", {"type": "user_message", "message": "one"})
    again = ("event_msg", {"type": "user_message", "message": "two"})
    made = text(
        told, words("user", "one"), words("assistant", "1"), again, words("user", "two"), words("assistant", "2")
    )
    found = turns(read_text("codex", tmp_path, made, "rollout-a.jsonl"))
    assert [(turn.input_value, turn.output_value) for turn in found] == [("one", "1"), ("two", "2")]


def test_lines_of_the_first_versions_are_read(tmp_path: Path) -> None:
    lines = [
        {"id": "s", "timestamp": "2025-06-01T10:00:00Z", "instructions": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
    ]
    items = read_text("codex", tmp_path, "\n".join(map(json.dumps, lines)), "rollout-b.jsonl")
    (call,) = steps(items, "model")
    assert conversation(call) == [("system", "Be brief."), ("user", "hi")]
    assert turns(items)[0].output_value == "hello"


def test_agents_that_claim_to_be_each_others_parent_end(tmp_path: Path) -> None:
    for own, other in (("aaaa1111", "bbbb2222"), ("bbbb2222", "aaaa1111")):
        source = {"subagent": {"thread_spawn": {"parent_thread_id": other}}}
        meta = {"timestamp": "2026-05-04T10:00:00Z", "type": "session_meta", "payload": {"id": own, "source": source}}
        line = {"timestamp": "2026-05-04T10:00:05Z", "type": "response_item", "payload": words("assistant", own)[1]}
        (tmp_path / f"rollout-{own}.jsonl").write_text(f"{json.dumps(meta)}\n{json.dumps(line)}\n")
    items = read("codex", tmp_path / "rollout-aaaa1111.jsonl")
    assert len(steps(items, "model")) == 2


def test_a_broken_line_is_named_and_the_rest_read(tmp_path: Path) -> None:
    lines = text(words("user", "hi"), words("assistant", "yes")).split("\n")
    items = read_text("codex", tmp_path, "\n".join([lines[0], "{broken", *lines[1:]]), "rollout-c.jsonl")
    assert [one.where for one in skipped(items)] == ["line 2"]
    assert turns(items)[0].output_value == "yes"


@pytest.mark.parametrize("line", ['{"session_id": "x", "ts": 1, "text": "hi"}', '{"type": "user", "uuid": "1"}', "[]"])
def test_other_json_lines_are_foreign(tmp_path: Path, line: str) -> None:
    with pytest.raises(Foreign):
        read_text("codex", tmp_path, line, "history.jsonl")
