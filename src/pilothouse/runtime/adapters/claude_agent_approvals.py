"""For the Claude Agent SDK: ``ClaudeAgentOptions(**Approvals(agent="coder").options())``.

Two doors with the same lock. A ``PreToolUse`` hook stands before every call, also before those that other settings
allow, and blocks where it fails; ``can_use_tool`` answers the SDK's own question. The SDK goes on with a call when a
callback takes longer than its time: ours waits less than that, and then it says no.
"""

# The SDK lives in an environment of its own: here its types are not known.
# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pilothouse.runtime.approval_desk import ApprovalDesk
from pilothouse.runtime.approved_calls import ApprovedCalls, Begun, key_by_content

try:
    from claude_agent_sdk import HookMatcher, PermissionResultAllow, PermissionResultDeny
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the Claude Agent SDK is not installed: pip install claude-agent-sdk", name=error.name
    ) from error

HOOK_TIMEOUT_S: Final = 60.0
WAIT_S_MAX: Final = 40.0
"""The longest that a callback waits for a decision, in seconds."""
_SPARE_S: Final = 10.0


class Approvals:
    """Calls that the policy wants a person for."""

    def __init__(
        self,
        desk: ApprovalDesk | None = None,
        *,
        agent: str = "",
        agent_version: str = "",
        environment: str = "",
        wait_s: float = 0.0,
    ) -> None:
        """``wait_s``: how long a call is held up for a decision, at most 40 seconds."""
        wait_s = min(max(wait_s, 0.0), WAIT_S_MAX)
        calls = ApprovedCalls(agent=agent, agent_version=agent_version, environment=environment, wait_s=wait_s)
        self.calls = calls if desk is None else replace(calls, desk=desk)
        self._begun: dict[str, Begun] = {}

    def options(self, **further: Any) -> dict[str, Any]:
        """Options for ``ClaudeAgentOptions``; ``further`` are those of your own, hooks included."""
        hooks: dict[str, list[Any]] = {name: list(given) for name, given in (further.pop("hooks", None) or {}).items()}
        before = HookMatcher(hooks=[self.before], timeout=HOOK_TIMEOUT_S, on_failure="block")
        hooks["PreToolUse"] = [before, *hooks.get("PreToolUse", [])]
        for name in ("PostToolUse", "PostToolUseFailure"):
            hooks[name] = [*hooks.get(name, []), HookMatcher(hooks=[self.after])]
        return {"can_use_tool": self.can_use_tool, **further, "hooks": hooks}

    async def before(self, given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        """The hook before every call. No opinion where nobody need be asked: the SDK's own rules hold."""
        try:
            tool, arguments = str(given["tool_name"]), dict(given["tool_input"])
            begun = await self._decided(str(given.get("session_id", "")), tool, arguments, tool_use_id or "")
        except Exception as error:
            return _denied(f"approvals failed: {type(error).__name__}")
        if begun.may == "free":
            return {}
        if begun.may == "leave":
            said = {"permissionDecision": "allow", "updatedInput": dict(begun.arguments)}
            return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **said}}
        return _denied(begun.told)

    async def can_use_tool(self, tool: str, arguments: dict[str, Any], context: Any) -> Any:
        """The SDK's own question. What the hook has let through is not asked for twice."""
        try:
            id = str(getattr(context, "tool_use_id", "") or "")
            known = self._begun.get(id)
            begun = known or await self._decided("", tool, dict(arguments), id)
        except Exception as error:
            return PermissionResultDeny(message=f"approvals failed: {type(error).__name__}")
        if begun.may == "leave":
            return PermissionResultAllow(updated_input=dict(begun.arguments))
        if begun.may == "free":
            return PermissionResultAllow()
        return PermissionResultDeny(message=begun.told)

    async def after(self, given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        """The hook after a call: how it went."""
        begun = self._begun.pop(tool_use_id or str(given.get("tool_use_id", "")), None)
        if begun is not None:
            failed = given.get("hook_event_name") == "PostToolUseFailure"
            text = str(given.get("error", ""))[:500] if failed else ""
            await asyncio.to_thread(self.calls.end, begun, "failed" if failed else "executed", text)
        return {}

    async def _decided(self, session: str, tool: str, arguments: Mapping[str, Any], id: str) -> Begun:
        # The model's next try has another id: what it does is what names it.
        key = key_by_content(session, tool, arguments)
        asking = asyncio.to_thread(self.calls.begin, key, tool, arguments, run=session, repeats=True)
        begun = await asyncio.wait_for(asking, self.calls.wait_s + _SPARE_S)
        if begun.leave is not None and id:
            while len(self._begun) >= 1_000:
                self._begun.pop(next(iter(self._begun)))
            self._begun[id] = begun
        return begun


def _denied(why: str) -> dict[str, Any]:
    said = {"permissionDecision": "deny", "permissionDecisionReason": why}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **said}}
