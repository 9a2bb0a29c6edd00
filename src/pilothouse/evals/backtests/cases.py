"""Cases from what was recorded in production: the recorded decision is the reference, or a judge is asked of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast, get_args

from pilothouse.evals.capture import capture
from pilothouse.evals.case import Case
from pilothouse.evals.conversation import turns
from pilothouse.evals.observed import Observed, ToolUse
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.evals.recording import Recording
from pilothouse.evals.targets.attempt import Attempt
from pilothouse.evals.trajectory import decisions
from pilothouse.evals.trim import trim
from pilothouse.records import BadRequest

from .selection import Selected, Unit

Same = Literal["tools", "arguments", "answer"]
SAME: Final[tuple[Same, ...]] = get_args(Same)
RECORDING: Final = "recording"
"""Where in a case's provenance the recorded answer stands. Not among its settings: those are sent to candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How cases are made."""

    unit: Unit = "session"
    same: Same = "arguments"
    """What must be as it was: the tools, their arguments too, names and numbers of the answer too."""
    criterion: str = ""
    """What judges are asked; then nothing need be as it was."""
    whole: bool = False
    """Keep recorded system prompts; else they are those of today's orchestrator."""


def cases_of(recording: Recording, selected: Selected, making: Making) -> list[dict[str, Any]]:
    """The cases of one session or trace, as plain data.

    Raises:
        BadRequest: it holds nothing that can be given to an agent again, or no reference.
    """
    if making.unit != "decision":
        return [_case(recording, selected, making, "")]
    return [_case(one, selected, making, f"-{number:03d}") for number, one in enumerate(_decisions(recording), 1)]


def _case(recording: Recording, selected: Selected, making: Making, end: str) -> dict[str, Any]:
    id = f"{_slug(selected.id)}{end}"
    data = capture(recording, id=id, captured=str(recording.about.get("recorded") or selected.start))
    data["checks"] = [] if making.criterion else _checks(data["checks"], making.same)
    if making.criterion:
        data["criteria"] = [making.criterion]
    elif not data["checks"]:
        raise BadRequest("nothing was done that could be held against it", got=selected.id)
    if not making.whole:
        data, _ = trim(data)
    metadata = dict(data["metadata"])
    provenance = {name: value for name, value in metadata["provenance"].items() if name not in ("verdict", "tools")}
    if "step" in provenance:
        # Counted among the decisions of the session, which a step of the trace is not.
        provenance["decision"] = provenance.pop("step")
    provenance[RECORDING] = _told(recording)
    about = {"customer": selected.customer, "week": selected.week, "release": selected.release}
    metadata |= {
        "why": "recorded in production",
        "tags": ["backtest"],
        "cluster": selected.id,
        "capability": str(recording.about.get("agent") or ""),
        **{name: value for name, value in about.items() if value},
        "provenance": provenance,
    }
    data["metadata"] = {name: value for name, value in metadata.items() if value != ""}
    return data


def _checks(checks: Sequence[Mapping[str, Any]], same: Same) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for one in checks:
        check = dict(one)
        if same != "answer" and not {"tool", "no_tool", "tools"} & set(check):
            continue
        if same == "tools" and "arguments" in check:
            del check["arguments"]
        if check not in kept:
            kept.append(check)
    return kept


def _decisions(recording: Recording) -> list[Recording]:
    """Each decision as a recording of its own: the conversation before it, and what was decided."""
    calls, before = recording.calls, sum(len(turn.results) for turn in turns(recording.given))
    found: list[Recording] = []
    for one in decisions(recording):
        # What was answered before a decision stands in its history; from there on the recording answers.
        done = sum(len(turn.results) for turn in turns(one.history)) - before
        wishes = [{"id": wish.id, "name": wish.name, "arguments": wish.arguments} for wish in one.calls]
        said = {"role": "assistant", "content": one.text, **({"tool_calls": wishes} if wishes else {})}
        about = {name: value for name, value in recording.about.items() if name != "traces"}
        found.append(
            replace(
                recording,
                given=one.history,
                later=[said],
                calls=tuple(calls[done:]),
                about={**about, "step": one.number},
            )
        )
    return found


# -- what was answered then ------------------------------------------------------------------------------------------


def _told(recording: Recording) -> dict[str, Any]:
    did = recording.did()
    return {
        "text": did.text,
        "tools": [
            {"name": one.name, "arguments": one.arguments, "result": one.result, "error": one.error}
            for one in did.tools
        ],
        "given": list(recording.given) if turns(recording.given) and _spoken_later(recording) else [],
        "later": list(recording.later),
    }


def _spoken_later(recording: Recording) -> bool:
    """Whether a user spoke again: then the case's input holds no messages."""
    return recording.step is None and any(turn.role == "user" for turn in turns(recording.later))


async def as_recorded(attempt: Attempt) -> Observed:
    """A target that does what was done in production: nothing is run."""
    return recorded_of(attempt.case)


def recorded_of(case: Case) -> Observed:
    """What was done then, as an attempt would be seen.

    Raises:
        BadRequest: the case was not made of a recording.
    """
    provenance = case.metadata.provenance
    row = mapping_of(provenance.get(RECORDING))
    if row is None:
        raise BadRequest("the case holds no recorded answer", got=case.id)
    tools = [one for it in list_of(row.get("tools")) or [] if (one := mapping_of(it)) is not None]
    given = list_of(row.get("given")) or list(case.input.messages)
    return Observed(
        text=str(row.get("text") or ""),
        tools=tuple(
            ToolUse(
                name=str(one.get("name")),
                arguments=one.get("arguments"),
                result=one.get("result"),
                error=str(one.get("error") or ""),
                answered="recorded",
            )
            for one in tools
        ),
        messages=cast("list[Mapping[str, Any]]", [*given, *(list_of(row.get("later")) or [])]),
        trace_id=str(provenance.get("trace") or ""),
    )


def _slug(text: str) -> str:
    """The id of a session or trace as a case may be called; with a hash where that is not the same."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == text and len(plain) <= 100:
        return plain
    return f"{plain[:80].strip('-') or 'session'}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
