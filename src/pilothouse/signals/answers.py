"""How a trace ended: ``no_answer``, ``truncated``, ``empty_output``."""

from __future__ import annotations

import re

from pilothouse.records import Signal

from .calls import ends_in_calls, tool_call
from .failure_text import speaks
from .view import View
from .wording import clipped, evidence, listed, named

_DELIVERS = re.compile(
    r"(?:^|_|\b)(?:final|answer|respond|response|reply|submit|finish|complete|done|end|transfer|hand_?off|hand_?over"
    r"|escalate|send|notify|message|email|mail|post|publish|speak|say|return)",
    re.IGNORECASE,
)
"""A tool of such a name may be what delivers the answer."""
_CUT = {
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "maxtokens",
    "incomplete",
    "max_length",
    "token_limit",
}


def no_answer(view: View) -> Signal | None:
    """The trace ended with tool calls and no reply after them."""
    limit = view.thresholds.no_answer_calls
    if view.open_ or not view.models or len(view.tools or view.models) < limit:
        return None
    if not any(fact.output_text for fact in view.models) or speaks(view.answer):
        # Where no content is recorded, a reply would not be seen.
        return None
    known, main, owners = view.tool_names, view.main, view.owners
    replied_ns = -1
    for fact in reversed(view.models):
        if owners[fact.span_id] == main and speaks(fact.output_text) and not ends_in_calls(fact, known):
            replied_ns = fact.end_ns
            break
    if view.tools:
        asked = [fact for fact in view.tools if owners[fact.span_id] == main and fact.start_ns >= replied_ns]
    else:
        asked = [call.fact for call in view.calls if call.owner == main and call.fact.start_ns >= replied_ns]
    if len(asked) < limit:
        return None
    last = tool_call(asked[-1], main) if view.tools else view.calls[-1]
    if not last.failure and _DELIVERS.search(last.tool):
        return None
    since = "after its last reply" if replied_ns >= 0 else "in all"
    return Signal(
        name="no_answer",
        severity="critical",
        message=f"The trace ended without a reply: {len(asked):,} tool calls {since}, the last one "
        f"{clipped(last.tool, 80)} (limit {limit}).",
        evidence=listed(asked[-3:], "called, and no reply came after it"),
        value=float(len(asked)),
        limit=float(limit),
        unit="calls",
    )


def truncated(view: View) -> Signal | None:
    """The final answer ended at the limit on output tokens."""
    final = view.final
    if view.open_ or final is None:
        return None
    reason = final.finish_reason.lower().rpartition(".")[2]
    if reason not in _CUT:
        return None
    said = len(final.output_text)
    return Signal(
        name="truncated",
        message=f"The final answer of {named(final)} was cut off by the limit on output tokens "
        f"(finish reason {clipped(final.finish_reason, 40)}): raise the limit or ask for less.",
        evidence=(evidence(final, f"…{final.output_text[-120:]}" if said else "nothing was said before the limit"),),
    )


def empty_output(view: View) -> Signal | None:
    """The last model call went well and said nothing."""
    if view.open_ or not view.models:
        return None
    last = max(view.models, key=lambda fact: fact.end_ns)
    # Two instrumentations may see one call, of which one records content.
    twins = [fact for fact in view.models if fact.end_ns >= last.start_ns and fact.start_ns <= last.end_ns]
    if last.status != "ok" or any(speaks(fact.output_text) for fact in twins):
        return None
    # Only where content is recorded at all: without it, every answer looks empty.
    if not any(fact.input_text for fact in twins):
        return None
    root = view.root
    if root is not None and root is not last and root.kind == "agent" and speaks(root.output_text):
        return None
    return Signal(
        name="empty_output",
        message=f"{named(last)} ended the trace with an empty answer.",
        evidence=(evidence(last, f"finish reason {last.finish_reason or 'not reported'}, no output"),),
    )
