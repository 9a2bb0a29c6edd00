"""Facts of spans, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count

from pilothouse.records import Kind, Signal
from pilothouse.signals import NO_BASELINE, Baseline, Pulse, Thresholds, detect

SECOND = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One span, as the rules see it."""

    span_id: str
    parent_span_id: str = "root"
    step: int = 0
    kind: Kind = "tool"
    name: str = ""
    agent: str = ""
    model: str = ""
    provider: str = ""
    status: str = "ok"
    error_message: str = ""
    tool_error: str = ""
    start_ns: int = 0
    end_ns: int = 0
    tokens: tuple[int, ...] = (0,) * 9
    usage_scope: str = ""
    cost_usd: Decimal | None = None
    duplicate_of: str = ""
    tool_name: str = ""
    finish_reason: str = ""
    tools_offered: tuple[str, ...] = ()
    purpose: str = ""
    input_text: str = ""
    output_text: str = ""
    input_ref: str = ""
    output_ref: str = ""
    kept_text: str = ""
    notes: tuple[str, ...] = field(default=())


_numbers = count(1)


def tool(name: str, arguments: str = "{}", result: str = "ok", **more: object) -> Fact:
    return Fact(span_id=f"{next(_numbers):016x}", tool_name=name, name=name, input_text=arguments, output_text=result, **more)  # type: ignore[arg-type]  # fmt: skip


def model(answer: str, **more: object) -> Fact:
    return Fact(span_id=f"{next(_numbers):016x}", kind="model", model="m", input_text="q", output_text=answer, **more)  # type: ignore[arg-type]


def run(*facts: Fact, answer: str = "Here it is.", each_s: float = 1.0, root_status: str = "ok") -> list[Fact]:
    """A finished run of one agent: the facts one after the other, then an answer."""
    inner = [*facts, model(answer)] if answer else list(facts)
    placed = [
        replace(fact, step=place + 2, start_ns=int((place + 1) * each_s * SECOND),
                end_ns=int((place + 1.9) * each_s * SECOND))
        for place, fact in enumerate(inner)
    ]  # fmt: skip
    end = max(fact.end_ns for fact in placed)
    root = Fact(span_id="root", parent_span_id="", step=1, kind="agent", agent="a", end_ns=end + 1, status=root_status, output_text=answer)  # fmt: skip
    return [root, *placed]


def found(
    facts: Sequence[Fact],
    *,
    open_: bool = False,
    limits: Thresholds | None = None,
    baseline: Baseline = NO_BASELINE,
    pulse: Pulse | None = None,
    received_ns: int = 0,
    now_ns: int = 0,
) -> dict[str, Signal]:
    signals = detect(
        facts, limits or Thresholds(), baseline, now_ns=now_ns, open_=open_, received_ns=received_ns, pulse=pulse
    )
    return {signal.name: signal for signal in signals}
