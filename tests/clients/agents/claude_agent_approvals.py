"""The Claude Agent SDK's callbacks, called as its client calls them, with its own types."""

import asyncio
import json
import os
from pathlib import Path

from approval_making import desk_in, pat
from claude_agent_sdk import ClaudeAgentOptions, ToolPermissionContext

from pilothouse.runtime.adapters.claude_agent_approvals import Approvals

desk = desk_in(Path(os.environ["PILOTHOUSE_RUNTIME"]))


class Broken:
    def ask(self, ask):
        raise RuntimeError("no desk")


def hook_input(event, id, arguments, **more):
    return {
        "session_id": "s1", "transcript_path": "", "cwd": "", "hook_event_name": event, "tool_name": "refund",
        "tool_input": arguments, "tool_use_id": id, **more,
    }  # fmt: skip


async def main():
    guarded = Approvals(desk, agent="refunds")
    options = ClaudeAgentOptions(**guarded.options(hooks={"PostToolUse": []}))
    (matcher,) = options.hooks["PreToolUse"]
    (before,), (after,) = matcher.hooks, options.hooks["PostToolUse"][0].hooks
    context = {"signal": None}
    arguments = {"order": 7, "usd": 50.0}
    free = await before({**hook_input("PreToolUse", "t0", {}), "tool_name": "look"}, "t0", context)
    first = (await before(hook_input("PreToolUse", "t1", arguments), "t1", context))["hookSpecificOutput"]
    (waiting,) = pat.approvals.list("local").items
    pat.edit(waiting.approval_id, {"order": 7, "usd": 5.0})
    # The model tries again, with another id.
    second = (await before(hook_input("PreToolUse", "t2", arguments), "t2", context))["hookSpecificOutput"]
    await after(hook_input("PostToolUse", "t2", second["updatedInput"], tool_response="ok"), "t2", context)
    again = (await before(hook_input("PreToolUse", "t3", arguments), "t3", context))["hookSpecificOutput"]
    broken = Approvals(Broken())
    by_hook = (await broken.before(hook_input("PreToolUse", "t4", arguments), "t4", context))["hookSpecificOutput"]
    by_question = await broken.can_use_tool("refund", arguments, ToolPermissionContext(tool_use_id="t4"))
    asked = await guarded.can_use_tool("refund", {"order": 9, "usd": 1.0}, ToolPermissionContext(tool_use_id="t5"))
    (other, *_) = [one for one in pat.approvals.list("local").items if one.action.arguments["order"] == 9]
    pat.approve(other.approval_id)
    then = await guarded.can_use_tool("refund", {"order": 9, "usd": 1.0}, ToolPermissionContext(tool_use_id="t6"))
    print(
        json.dumps(
            {
                "options": sorted(options.hooks),
                "on_failure": matcher.on_failure,
                "free": free,
                "waiting": first["permissionDecision"],
                "waiting_why": first["permissionDecisionReason"],
                "allowed": second["permissionDecision"],
                "input": second["updatedInput"],
                "state": desk.find(waiting.approval_id).state,
                "again": again["permissionDecision"],
                "broken": [by_hook["permissionDecision"], by_question.behavior],
                "asked_by_sdk": [asked.behavior, then.behavior],
            }
        )
    )


asyncio.run(main())
