"""How messages and evidence are worded: short, on one line, numbers with their unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilothouse.records import Evidence

from .facts import SpanFact

EVIDENCE_MAX = 20
NOTE_CHARS = 200


def clipped(text: str, chars: int = NOTE_CHARS) -> str:
    """Text on one line, at most so many characters."""
    joined = " ".join(text[: chars * 4].split())
    return joined if len(joined) <= chars else joined[: chars - 1] + "…"


def evidence(fact: SpanFact, note: str = "") -> Evidence:
    """A span as evidence."""
    return Evidence(span_id=fact.span_id, step=fact.step, note=clipped(note))


def listed(facts: Iterable[SpanFact], note: str = "") -> tuple[Evidence, ...]:
    """Spans as evidence, in step order, the first and the last ones where there are too many."""
    ordered = sorted(facts, key=lambda fact: (fact.step, fact.start_ns))
    if len(ordered) > EVIDENCE_MAX:
        ordered = [*ordered[: EVIDENCE_MAX - 1], ordered[-1]]
    return tuple(evidence(fact, note) for fact in ordered)


def named(fact: SpanFact) -> str:
    """What to call a span in a sentence."""
    return clipped(fact.tool_name or fact.model or fact.name or fact.kind, 80)


def seconds(value: float) -> str:
    """A duration in words: ``850 ms``, ``12.3 s``, ``4 min 5 s``, ``2 h 3 min``."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def usd(value: float) -> str:
    """Money: ``$1.20``, ``$0.0034``."""
    return f"${value:,.2f}" if value >= 1 else f"${value:.3g}"


def times(number: int) -> str:
    """``once``, ``twice``, ``5 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def joined(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
