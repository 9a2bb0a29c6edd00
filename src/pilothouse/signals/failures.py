"""Steps that failed: ``error``, ``soft_error``, ``tool_not_found``, ``context_overflow``."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.records import Signal

from .calls import call_heads, calls_in_answer, failure_of
from .facts import SpanFact
from .failure_text import OVERFLOW, SAID_CHARS_MAX, says_tool_missing
from .view import View
from .wording import EVIDENCE_MAX, clipped, evidence, joined, listed, named, times

_INPUT_BUCKETS = 6
"""Of the nine buckets of usage the first six are input."""


def error(view: View) -> Signal | None:
    """A span whose status is an error."""
    failed = view.failed
    if not failed:
        return None
    parents = {fact.parent_span_id for fact in failed}
    # The parents that repeat a failure say nothing new.
    inner = [fact for fact in failed if fact.span_id not in parents] or failed
    first = min(inner, key=lambda fact: (fact.end_ns, -fact.start_ns))
    root = view.root
    broken = root is not None and root.status == "error"
    count = f"{len(inner)} steps failed, the first" if len(inner) > 1 else "A step failed"
    message = f"{count}: {named(first)}{_says(first.error_message)}" + (
        "; the trace failed with it" if broken else "; the trace went on"
    )
    return Signal(
        name="error",
        severity="critical" if broken else "warning",
        message=message + ".",
        evidence=tuple(evidence(fact, fact.error_message or "failed") for fact in _shown(inner)),
        value=float(len(inner)),
        unit="steps",
    )


def soft_error(view: View) -> Signal | None:
    """A tool whose span says ok and whose result says that it failed."""
    soft = [
        (fact, why)
        for fact in view.tools
        if (fact.tool_error or fact.output_text) and fact.status != "error" and (why := failure_of(fact))
    ]
    by_models = not view.tools
    if by_models and any(fact.tool_error for fact in view.facts):
        soft = [(fact, fact.tool_error) for fact in view.facts if fact.tool_error and fact.status != "error"]
    elif by_models:
        soft = [(call.fact, call.failure) for call in view.calls if call.failure and call.fact.status != "error"]
    if not soft:
        return None
    worst: dict[str, int] = {}
    for fact, _ in soft:
        worst[named(fact)] = worst.get(named(fact), 0) + 1
    # A tool that worked the next time was recovered from.
    last_ok = {(call.tool): call.fact.start_ns for call in view.calls if not call.failure}
    recovered = all(last_ok.get(fact.tool_name or fact.name, -1) > fact.start_ns for fact, _ in soft)
    which = joined([f"{tool} {times(count)}" for tool, count in list(worst.items())[:4]])
    return Signal(
        name="soft_error",
        severity="info" if recovered else "warning",
        message=f"A tool returned a failure although its span says ok: {which}{_says(soft[0][1])}"
        + (", and worked later." if recovered else "."),
        evidence=tuple(evidence(fact, why) for fact, why in soft[:EVIDENCE_MAX]),
        value=float(len(soft)),
        unit="calls",
    )


def tool_not_found(view: View) -> Signal | None:
    """A model called a tool that it was not offered, or the result of a call says that there is no such tool."""
    found: list[tuple[SpanFact, str, str]] = []
    offered_anywhere = {name for fact in view.models for name in fact.tools_offered}
    for fact in view.tools:
        if fact.tool_name in offered_anywhere:
            # It exists: whatever it returns is about something else.
            continue
        # What is stored by content is too long to be these few words.
        why = fact.error_message or fact.tool_error or ("" if fact.output_ref else fact.output_text)
        if why and says_tool_missing(why[:SAID_CHARS_MAX]):
            found.append((fact, fact.tool_name or fact.name, why))
    missing = {tool for _, tool, _ in found}
    for fact in view.models:
        offered = fact.tools_offered
        if not offered or "(" not in fact.output_text or all(head in offered for head in call_heads(fact.output_text)):
            continue
        for tool, _ in calls_in_answer(fact, view.tool_names):
            if tool not in offered and tool not in missing and not _like_offered(tool, offered):
                missing.add(tool)
                found.append((fact, tool, f"offered were {joined(sorted(offered)[:8])}"))
    if not view.tools:
        for call in view.calls:
            if call.tool not in missing and says_tool_missing(call.result):
                missing.add(call.tool)
                found.append((call.fact, call.tool, call.result))
    for fact in view.failed:
        if fact.kind != "tool" and not found and says_tool_missing(fact.error_message[:SAID_CHARS_MAX]):
            found.append((fact, "a tool", fact.error_message))
    if not found:
        return None
    names = list(dict.fromkeys(tool for _, tool, _ in found))
    return Signal(
        name="tool_not_found",
        message=f"The model called {joined([clipped(name, 60) for name in names[:4]])}, which it was not offered "
        f"or which does not exist ({times(len(found))}).",
        evidence=tuple(evidence(fact, why) for fact, _, why in found[:EVIDENCE_MAX]),
        value=float(len(found)),
        unit="calls",
        detail={"tools": names[:20]},
    )


def _like_offered(tool: str, offered: Sequence[str]) -> bool:
    # Some emitters leave a server's name before a tool's, or write it in another way, on one side only.
    bare = tool.rpartition("__")[2].rpartition(".")[2].rpartition("/")[2].lower().replace("-", "_")
    return any(name.lower().replace("-", "_").endswith(bare) for name in offered) if bare else True


def context_overflow(view: View) -> Signal | None:
    """A provider refused an input as too long, or a call filled nearly all of the model's window."""
    refused = [
        fact
        for fact in view.failed
        if (fact.kind == "model" or (fact.kind != "tool" and not view.models)) and OVERFLOW.search(fact.error_message)
    ]
    refused += [fact for fact in view.models if "context_window" in fact.finish_reason.lower()]
    if not refused and view.failed:
        # Where the model call has no span of its own, the agent's error tells.
        refused = [fact for fact in view.failed if fact.kind != "tool" and OVERFLOW.search(fact.error_message)]
    if refused:
        first = refused[0]
        return Signal(
            name="context_overflow",
            severity="critical",
            message=f"{named(first)} refused an input that does not fit its context window "
            f"({times(len(refused))}){_says(first.error_message)}.",
            evidence=tuple(evidence(fact, fact.error_message or fact.finish_reason) for fact in _shown(refused)),
            value=float(len(refused)),
            unit="calls",
        )
    share = view.thresholds.context_share
    fullest, most, window = None, 0.0, 0
    largest: dict[tuple[str, str], tuple[int, SpanFact]] = {}
    for fact in view.models:
        tokens = sum(fact.tokens[:_INPUT_BUCKETS])
        if tokens > 3_000 and tokens > largest.get((fact.provider, fact.model), (0,))[0]:
            largest[(fact.provider, fact.model)] = (tokens, fact)
    for (provider, model), (tokens, fact) in largest.items():
        holds = view.window_of(provider, model)
        if holds and tokens / holds > most:
            fullest, most, window = fact, tokens / holds, holds
    if fullest is None or most < share:
        return None
    tokens = sum(fullest.tokens[:_INPUT_BUCKETS])
    return Signal(
        name="context_overflow",
        message=f"The input of {named(fullest)} had {tokens:,} tokens, {most:.0%} of its window of {window:,} "
        f"(limit {share:.0%}).",
        evidence=(evidence(fullest, f"{tokens:,} input tokens of {window:,}"),),
        value=round(most, 4),
        limit=share,
        unit="of the window",
        detail={"tokens": tokens, "window": window},
    )


def _shown(facts: list[SpanFact]) -> list[SpanFact]:
    return sorted(facts, key=lambda fact: (fact.step, fact.start_ns))[:EVIDENCE_MAX]


def _says(words: str) -> str:
    said = clipped(words, 160).rstrip(".")
    return f' ("{said}")' if said else ""


def orphans(view: View) -> Signal | None:
    """Spans whose parent is not there, once the trace is complete."""
    lost = view.orphans
    if not lost or view.open_:
        return None
    parents = len({fact.parent_span_id for fact in lost})
    return Signal(
        name="orphans",
        severity="info",
        message=f"{len(lost):,} of {len(view.facts):,} spans name a parent that never arrived "
        f"({parents:,} missing): part of the trace was not sent, was sampled away, or went elsewhere.",
        evidence=listed(lost, "its parent is missing"),
        value=float(len(lost)),
        unit="spans",
    )


def double_instrumented(view: View) -> Signal | None:
    """Calls that two instrumentations reported."""
    twice = view.duplicates
    if not twice:
        return None
    return Signal(
        name="double_instrumented",
        severity="info",
        message=f"{len(twice):,} {'call was' if len(twice) == 1 else 'calls were'} reported by two instrumentations; "
        "each is counted once: switch one of the two off.",
        evidence=listed(twice, "the same call as another span"),
        value=float(len(twice)),
        unit="calls",
    )


def clock_skew(view: View) -> Signal | None:
    """Spans whose times were corrected."""
    skewed = view.skewed
    if not skewed:
        return None
    note = next(note for note in skewed[0].notes if note.startswith("clock:"))
    return Signal(
        name="clock_skew",
        severity="info",
        message=f"The times of {len(skewed):,} {'span' if len(skewed) == 1 else 'spans'} cannot be right and were "
        f"corrected: {note.removeprefix('clock:').strip()}.",
        evidence=listed(skewed, note),
        value=float(len(skewed)),
        unit="spans",
    )
