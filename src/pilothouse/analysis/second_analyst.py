"""The second reader without a model: backward from how a trace ended, by what was said rather than by what failed.

It looks at the last words to the user, at how the agent spoke of each tool's result in its next words, and at what was
tried again with other arguments. It knows neither statuses of steps nor the rules by which bodies are read, so that it
agrees with the first reader only where the trace itself does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .evidence import evidence
from .failures import Step, TraceFacts

_GAVE_UP = re.compile(
    r"\b(?:transfer(?:red|ring)? (?:you )?to (?:a )?(?:human|person|agent)|unable to (?:complete|process|help|proceed|assist)"
    r"|(?:can(?:no|')t|could(?: not|n't)|cannot) (?:complete|process|proceed|help|assist|be (?:completed|processed|done))"
    r"|gave up|giving up|step limit|max(?:imum)? (?:iterations|turns|steps))\b",
    re.IGNORECASE,
)
_TROUBLE = re.compile(
    r"\b(?:error|failed|failure|unfortunately|issue|problem|apologi[sz]e|sorry|not (?:available|found|enough|possible|allowed|sufficient)"
    r"|(?:does|did|do)(?: not|n't) (?:add up|match|exist|work)|insufficient|invalid|unable|could(?: not|n't)|try again|another (?:way|option|method))\b",
    re.IGNORECASE,
)
_WINDOW = 2
"""How many model calls after a tool's result may speak of it."""


def read_backward(trace: TraceFacts, export: Path) -> dict[str, Any]:
    """The second reading."""
    spoken = [step for step in trace.steps if step.kind == "model"]
    last = spoken[-1] if spoken else None
    final = str(trace.row.get("output") or (_words(trace, last) if last is not None else ""))
    ended_badly = _ending(trace, final)
    troubled = [(tool, words) for tool, words in _spoken_of(trace) if _TROUBLE.search(words)]
    tried_again = {tool.component for tool, _ in troubled if _tried_again(trace, tool)}
    # Backward: from the last trouble as long as it is about the same component.
    blamed: Step | None = None
    for tool, _ in reversed(troubled):
        if blamed is None or tool.component == blamed.component:
            blamed = tool
    unresolved = blamed is not None and not _worked_later(trace, blamed)
    problem = bool(ended_badly) or unresolved
    if not problem:
        return {
            "verdict": "ok",
            "first_bad_step": "",
            "component": "",
            "symptom": "",
            "root_cause": "",
            "evidence": [],
            "confidence": "medium" if troubled else "high",
        }
    # A run that ended before it called anything is shown by what there is of it.
    step = blamed or last or (trace.steps[-1] if trace.steps else None)
    reasons = [ended_badly] if ended_badly else []
    if blamed is not None:
        reasons.append(f"the agent spoke of trouble after {blamed.component}, step {blamed.step}")
    if blamed is not None and blamed.component in tried_again:
        reasons.append("and tried it again with other arguments")
    return {
        "verdict": "problem",
        "first_bad_step": step.step if step is not None else "",
        "component": step.component if step is not None else "unknown",
        "symptom": "; ".join(reasons)[:400],
        "root_cause": "",
        "evidence": evidence(trace, export, [], [step]) if step is not None else [],
        "confidence": "high" if ended_badly and blamed is not None else "medium",
    }


def _ending(trace: TraceFacts, final: str) -> str:
    if str(trace.row.get("status")) == "error":
        return "it ended with an error"
    if not final.strip():
        return "it ended without words" if trace.steps else ""
    if _GAVE_UP.search(final):
        return "its last words give up or hand over"
    return ""


def _words(trace: TraceFacts, step: Step) -> str:
    said = [trace.said[id].partition("\n")[2] for id in step.calls if id in trace.said]
    return "\n".join(said) or step.output


def _spoken_of(trace: TraceFacts) -> list[tuple[Step, str]]:
    """Each call of a tool with the agent's words in the model calls right after it."""
    found: list[tuple[Step, str]] = []
    for place, step in enumerate(trace.steps):
        if step.kind != "tool":
            continue
        after: list[str] = []
        for later in trace.steps[place + 1 :]:
            if later.kind == "tool" or len(after) == _WINDOW:
                break
            if later.kind == "model":
                after.append(_words(trace, later))
                break
        found.append((step, "\n".join(after)))
    return found


def _tried_again(trace: TraceFacts, tool: Step) -> bool:
    return any(
        step.kind == "tool" and step.component == tool.component and step.step > tool.step and step.input != tool.input
        for step in trace.steps
    )


def _worked_later(trace: TraceFacts, tool: Step) -> bool:
    """Whether a later call of the same component was followed by words without trouble."""
    return any(
        step.component == tool.component and step.step > tool.step and words and not _TROUBLE.search(words)
        for step, words in _spoken_of(trace)
    )
