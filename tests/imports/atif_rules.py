"""The rules of ATIF v1.7, as its specification has them: what any reader of the format may rely on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

TRAJECTORY = {
    *("schema_version", "session_id", "trajectory_id", "agent", "steps", "notes", "final_metrics", "extra"),
    *("continued_trajectory_ref", "subagent_trajectories"),
}
AGENT = {"name", "version", "model_name", "tool_definitions", "extra"}
STEP = {
    *("step_id", "timestamp", "source", "model_name", "reasoning_effort", "message", "reasoning_content"),
    *("tool_calls", "observation", "metrics", "extra", "llm_call_count", "is_copied_context"),
}
AGENT_ONLY = {"model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics"}
METRICS = {
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "prompt_token_ids", "completion_token_ids"),
    *("logprobs", "extra"),
}
TOTALS = {
    *("total_prompt_tokens", "total_completion_tokens", "total_cached_tokens", "total_cost_usd", "total_steps"),
    "extra",
}


def check(trajectory: Any, *, embedded: bool = False) -> None:
    """Fail where a trajectory breaks a rule."""
    assert set(trajectory) <= TRAJECTORY, set(trajectory) - TRAJECTORY
    assert trajectory["schema_version"].startswith("ATIF-v1.")
    if embedded:
        assert isinstance(trajectory["trajectory_id"], str) and trajectory["trajectory_id"]
    agent = trajectory["agent"]
    assert set(agent) <= AGENT
    assert isinstance(agent["name"], str) and isinstance(agent["version"], str)
    for tool in agent.get("tool_definitions", ()):
        assert tool["type"] == "function" and isinstance(tool["function"]["name"], str)
    assert set(trajectory.get("final_metrics", {})) <= TOTALS
    inside = trajectory.get("subagent_trajectories", [])
    ids = [one.get("trajectory_id") for one in inside]
    assert len(set(ids)) == len(ids)
    assert len(trajectory["steps"]) >= 1
    for number, step in enumerate(trajectory["steps"], 1):
        check_step(step, number, ids)
    for one in inside:
        check(one, embedded=True)


def check_step(step: Any, number: int, embedded: list[str]) -> None:
    assert set(step) <= STEP, set(step) - STEP
    assert step["step_id"] == number
    assert step["source"] in ("system", "user", "agent")
    if "timestamp" in step:
        datetime.fromisoformat(step["timestamp"])
    check_content(step["message"])
    if step["source"] != "agent":
        assert not set(step) & AGENT_ONLY
    if step.get("llm_call_count") == 0 and step["source"] == "agent":
        assert not {"metrics", "reasoning_content"} & set(step)
    assert set(step.get("metrics", {})) <= METRICS
    asked = [call["tool_call_id"] for call in step.get("tool_calls", ())]
    assert len(set(asked)) == len(asked)
    for call in step.get("tool_calls", ()):
        assert set(call) <= {"tool_call_id", "function_name", "arguments", "extra"}
        assert isinstance(call["tool_call_id"], str) and isinstance(call["function_name"], str)
        assert isinstance(call["arguments"], dict)
    for result in step.get("observation", {}).get("results", ()):
        assert set(result) <= {"source_call_id", "content", "subagent_trajectory_ref", "extra"}
        if result.get("source_call_id") is not None:
            assert result["source_call_id"] in asked
        if "content" in result:
            check_content(result["content"])
        else:
            assert result["subagent_trajectory_ref"]
        for reference in result.get("subagent_trajectory_ref", ()):
            assert reference.get("trajectory_path") or reference["trajectory_id"] in embedded


def check_content(content: Any) -> None:
    if isinstance(content, str):
        return
    for part in content:
        if part["type"] == "text":
            assert isinstance(part["text"], str)
        else:
            assert part["type"] == "image"
            assert part["source"]["media_type"] in ("image/jpeg", "image/png", "image/gif", "image/webp")
            assert isinstance(part["source"]["path"], str)
