"""Claude Code transcripts are read into turns, calls, tools and sub-agents, with usage counted once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilothouse.imports.formats import FORMATS
from pilothouse.imports.sources import find
from pilothouse.imports.trajectory import Foreign, Item, Step

from .support import SAMPLES, answer, conversation, read, read_text, skipped, steps

PROJECT = SAMPLES / "claude/-srv-shop"
SESSION = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9"
SAMPLE = PROJECT / f"{SESSION}.jsonl"


def turns(items: list[Item]) -> list[Step]:
    return [step for step in steps(items, "agent") if not step.agent_id]


def of_turn(items: list[Item], turn: Step, kind: str) -> list[Step]:
    return [step for step in steps(items, kind) if step.trace == turn.trace]


def text(*lines: dict[str, Any]) -> str:
    return "\n".join(json.dumps({"sessionId": "s", **line}) for line in lines)


def said(number: int, content: Any, **more: Any) -> dict[str, Any]:
    at = f"2026-02-10T08:00:{number:02d}.000Z"
    return {
        "type": "user",
        "uuid": f"u{number}",
        "timestamp": at,
        "message": {"role": "user", "content": content},
        **more,
    }


def answered(number: int, *blocks: dict[str, Any], id: str = "", **more: Any) -> dict[str, Any]:
    message = {"id": id or f"msg_{number}", "model": "claude-x", "role": "assistant", "content": list(blocks)}
    at = f"2026-02-10T08:00:{number:02d}.000Z"
    return {"type": "assistant", "uuid": f"a{number}", "timestamp": at, "message": message, **more}


def block(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_each_prompt_is_a_trace_of_the_session() -> None:
    items = read("claude", SAMPLE)
    found = turns(items)
    assert [turn.input_value for turn in found] == ["Why does the lamp cost 0?", "Set it to 12.", "And the chair?"]
    assert {turn.session for turn in found} == {SESSION} and len({turn.trace for turn in found}) == 3
    assert found[0].output_value == "prices.py sets it to 0; Rosa did that in March."
    assert (found[0].agent, found[0].agent_version) == ("claude-code", "2.1.30")
    assert found[0].attributes["vcs.ref.head.name"] == "main"
    assert found[2].attributes["pilothouse.state.reason"] == "interrupted by the user"
    assert skipped(items) == []


def test_an_answer_in_several_lines_is_one_call_with_its_final_usage() -> None:
    items = read("claude", SAMPLE)
    first, second, third = [step for step in of_turn(items, turns(items)[0], "model") if not step.agent_id]
    assert answer(first) == [("assistant", "(Two files may set it.) I read both files. Read#toolu_a Bash#toolu_b")]
    assert (first.start_ns, first.end_ns) == (1770710400 * 10**9, 1770710408 * 10**9)
    tokens = first.tokens
    assert tokens is not None
    assert (tokens.input, tokens.cache_write_5m, tokens.output, tokens.reasoning) == (9_003, 9_000, 180, 40)
    # The result of the first tool came while the answer was still being written.
    assert [role for role, _ in conversation(second)] == ["user", "assistant", "tool", "tool"]
    assert conversation(third)[-1] == ("tool", "#toolu_task=Rosa set it in March.")
    assert first.finish_reason == "tool_use" and first.response_id == "msg_01"


def test_tools_are_joined_with_results_and_failures() -> None:
    items = read("claude", SAMPLE)
    tools = {step.call_id: step for step in steps(items, "tool")}
    assert tools["toolu_a"].output_value == "LAMP = 0" and tools["toolu_a"].tool_error == ""
    assert tools["toolu_b"].tool_error.startswith("Exit code 1")
    assert (tools["toolu_a"].end_ns - tools["toolu_a"].start_ns) == 10**9
    assert json.loads(tools["toolu_c"].input_value)["new_string"] == "LAMP = 12"


def test_a_sub_agent_is_a_child_of_the_call_that_started_it() -> None:
    items = read("claude", SAMPLE)
    (agent,) = [step for step in steps(items, "agent") if step.agent_id]
    assert (agent.agent, agent.agent_id, agent.parent) == ("Explore", "e1f2a3b4", "tool:toolu_task")
    assert (agent.input_value, agent.output_value) == ("Who set LAMP to 0?", "Rosa set it in March.")
    inside = [step for step in steps(items) if step.parent == agent.id]
    assert [step.kind for step in inside] == ["model", "tool", "model"]
    assert {step.trace for step in (*inside, agent)} == {turns(items)[0].trace}
    assert conversation(inside[0]) == [("user", "Who set LAMP to 0?")]


def test_compaction_empties_the_conversation_and_says_so() -> None:
    items = read("claude", SAMPLE)
    turn = turns(items)[1]
    failed, before, after = of_turn(items, turn, "model")
    assert (failed.error, failed.error_type) == ("529 Overloaded", "api_error")
    assert len(conversation(before)) > 6
    assert conversation(after) == [("user", "Summary: the lamp cost 0, now 12.")]
    assert after.attributes["gen_ai.conversation.compacted"] is True
    (compaction,) = of_turn(items, turn, "other")
    assert (compaction.name, compaction.input_value) == ("compact conversation", "auto at 10,300 tokens")


def test_images_go_with_what_was_said() -> None:
    items = read("claude", SAMPLE)
    call = of_turn(items, turns(items)[1], "model")[1]
    assert ("user", "Set it to 12. [blob]") in conversation(call)


def test_a_transcript_that_grew_keeps_the_ids_it_had(tmp_path: Path) -> None:
    lines = SAMPLE.read_text().splitlines()
    path = tmp_path / SAMPLE.name
    known: set[tuple[str, str]] = set()
    for end in range(8, len(lines) + 1, 3):
        path.write_text("\n".join(lines[:end]))
        found = {(step.trace, step.id) for step in steps(read("claude", path))}
        assert known <= found
        known = found


def test_a_resumed_copy_is_the_same_trace(tmp_path: Path) -> None:
    other = tmp_path / "ffffffff-4f50-4617-8293-a4b5c6d7e8f9.jsonl"
    other.write_text(SAMPLE.read_text().replace(SESSION, "ffffffff-4f50-4617-8293-a4b5c6d7e8f9"))
    assert {turn.trace for turn in turns(read("claude", other))} == {
        turn.trace for turn in turns(read("claude", SAMPLE))
    }


def test_a_folder_gives_each_sub_agent_once() -> None:
    form = FORMATS["claude"]
    items = [item for source in find([SAMPLES / "claude"], form.endings) for item in form.read(source)]
    ids = [(step.trace, step.id) for step in steps(items)]
    assert len(ids) == len(set(ids)) and len(turns(items)) == 3


def test_a_sub_agent_alone_is_a_trace_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "agent-e1f2a3b4.jsonl"
    path.write_bytes((PROJECT / SESSION / "subagents/agent-e1f2a3b4.jsonl").read_bytes())
    items = read("claude", path)
    (agent,) = steps(items, "agent")
    assert agent.parent == "" and agent.input_value == "Who set LAMP to 0?"
    assert agent.end_ns > agent.start_ns > 0


def test_sub_agents_written_into_the_same_file_are_told_apart(tmp_path: Path) -> None:
    def task(id: str, prompt: str) -> dict[str, Any]:
        return {"type": "tool_use", "id": id, "name": "Task", "input": {"prompt": prompt, "subagent_type": prompt}}

    def result(id: str) -> list[dict[str, Any]]:
        return [{"type": "tool_result", "tool_use_id": id, "content": f"{id} done"}]

    side = {"isSidechain": True}
    items = read_text(
        "claude",
        tmp_path,
        text(
            said(0, "both"),
            answered(1, task("t1", "one"), task("t2", "two")),
            said(2, "two", parentUuid=None, **side),
            said(3, "one", parentUuid=None, **side),
            answered(4, block("from two"), parentUuid="u2", **side),
            answered(5, block("from one"), parentUuid="u3", **side),
            said(6, result("t1")),
            said(7, result("t2")),
            answered(8, block("all done")),
        ),
        "s.jsonl",
    )
    found = {step.agent: step for step in steps(items, "agent")}
    assert {name: (step.parent, step.output_value) for name, step in found.items()} == {
        "claude-code": ("", "all done"),
        "one": ("tool:t1", "from one"),
        "two": ("tool:t2", "from two"),
    }


def test_a_prompt_that_was_edited_goes_on_from_before_it(tmp_path: Path) -> None:
    items = read_text(
        "claude",
        tmp_path,
        text(
            said(0, "first"),
            answered(1, block("yes"), parentUuid="u0"),
            said(2, "wrong way", parentUuid="a1"),
            answered(3, block("oh"), parentUuid="u2"),
            said(4, "right way", parentUuid="a1"),
            answered(5, block("good"), parentUuid="u4"),
        ),
        "s.jsonl",
    )
    last = steps(items, "model")[-1]
    assert conversation(last) == [("user", "first"), ("assistant", "yes"), ("user", "right way")]


def test_a_call_without_a_result_is_kept_and_marked(tmp_path: Path) -> None:
    use = {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}
    (tool,) = steps(read_text("claude", tmp_path, text(said(0, "go"), answered(1, use)), "s.jsonl"), "tool")
    assert tool.attributes == {"pilothouse.imported.open": True} and tool.tool_error == ""


def test_commands_to_the_program_are_no_turns() -> None:
    assert all("<command" not in turn.input_value for turn in turns(read("claude", SAMPLE)))


def test_a_cost_that_old_versions_noted_is_kept(tmp_path: Path) -> None:
    items = read_text("claude", tmp_path, text(said(0, "go"), answered(1, block("ok"), costUSD=0.0123)), "s.jsonl")
    assert steps(items, "model")[0].cost_usd == 0.0123


def test_an_error_message_of_the_program_is_a_failed_call(tmp_path: Path) -> None:
    told = answered(1, block("API Error: 500"), isApiErrorMessage=True)
    told["message"]["model"] = "<synthetic>"
    (call,) = steps(read_text("claude", tmp_path, text(said(0, "go"), told), "s.jsonl"), "model")
    assert (call.error, call.model, call.tokens) == ("API Error: 500", "", None)


def test_a_broken_line_is_named_and_the_rest_read(tmp_path: Path) -> None:
    lines = text(said(0, "go"), answered(1, block("ok"))).split("\n")
    items = read_text("claude", tmp_path, f"{lines[0]}\n{lines[1][:30]}\n{lines[1]}\n", "s.jsonl")
    assert [item.where for item in skipped(items)] == ["line 2"]
    assert steps(items, "agent")[0].output_value == "ok"


@pytest.mark.parametrize("line", ['{"display": "hi", "project": "p"}', '{"resourceSpans": []}', "[1]"])
def test_other_json_lines_are_foreign(tmp_path: Path, line: str) -> None:
    with pytest.raises(Foreign):
        read_text("claude", tmp_path, line, "history.jsonl")
