"""Switches that stop an agent or a tool: written into the policy by a person, with why; taken off the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pilothouse.guards import read_guards
from pilothouse.policy import Policy
from pilothouse.records import Actor, BadRequest

from .keeping import Keeper, PolicyConflict, PolicyVersion
from .patching import switched

SwitchKind = Literal["agent", "tool"]
NAME_MAX: Final = 200
REASON_MAX: Final = 1_000
_VERSIONS_READ: Final = 200
_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One agent or tool that is switched off."""

    kind: str
    """agent, tool or everything."""
    name: str
    reason: str
    who: str
    """Who switched it off; empty where the file was edited by hand, or it was long ago."""
    since: str
    """When; empty as above."""


def switches(keeper: Keeper, policy: Policy) -> tuple[Switch, ...]:
    """What is switched off now, with who did it when and why as far as the versions of the policy tell."""
    off = read_guards(policy.section("guards")).switches
    named = [*(("agent", name) for name in sorted(off.agents)), *(("tool", name) for name in sorted(off.tools))]
    if off.everything:
        named.insert(0, ("everything", ""))
    if not named:
        return ()
    versions, _ = keeper.versions(limit=_VERSIONS_READ)
    found: list[Switch] = []
    for kind, name in named:
        begins = _note(kind, name, "off", "")
        told = next((one for one in versions if one.note.startswith(begins)), None)
        found.append(
            Switch(
                kind=kind,
                name=name,
                reason=told.note.removeprefix(begins) if told else "",
                who=told.who if told else "",
                since=told.made if told else "",
            )
        )
    return tuple(found)


def switch(keeper: Keeper, kind: SwitchKind, name: str, *, off: bool, reason: str, actor: Actor) -> PolicyVersion:
    """Stop an agent or a tool, or let it go on: a version of the policy, in force when this returns.

    Raises:
        BadRequest: there is no name or no reason, it stands so already, or the file cannot be written into.
        Forbidden: the file cannot be written from here.
        NeedsApproval: the writer is no person.
    """
    name, reason = name.strip(), " ".join(reason.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise BadRequest(f"a switch names one {kind}", got=name[:60], allowed=f"1 to {NAME_MAX} characters in one line")
    if not reason or len(reason) > REASON_MAX:
        raise BadRequest(
            "say why: whoever finds it switched wants to know",
            got=reason[:60],
            allowed=f"1 to {REASON_MAX:,} characters",
        )
    note = _note(kind, name, "off" if off else "on", reason)
    for left in reversed(range(_TRIES)):
        current = keeper.current()
        text = switched(current.text, kind, name, off=off)
        try:
            return keeper.set(text, base=current.revision, note=note, actor=actor)
        except PolicyConflict:
            # Somebody edited the policy at this very moment: who stops an agent is not sent away for that.
            if not left:
                raise
    raise AssertionError("the last try raises")


def _note(kind: str, name: str, state: str, reason: str) -> str:
    return f"{kind} {name} switched {state}: {reason}"
