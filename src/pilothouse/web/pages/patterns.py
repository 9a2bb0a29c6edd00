"""Every component of the pages on one page: for whoever changes one, and for the tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.web.charts import Chart, Line, Segment, stacked
from pilothouse.web.context import told
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit
from pilothouse.web.windows import Chosen

HOSTILE = "<script>alert(1)</script> \u202eexe.gnp \x1b[31m \u200b [link](javascript:alert(1)) {{ 7 * 7 }}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternsPage(PageContext):
    """Every component."""

    window: Chosen = field(metadata=told("the time window shown"))
    setup: Setup = field(metadata=told("how to send the first trace"))
    hostile: str = field(metadata=told("text as it may come in a trace"))
    long: str = field(metadata=told("a long value"))
    problem: dict[str, object] = field(metadata=told("a wrong question, and the remedy"))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """A stacked bar of every kind."""
        kinds = ("model", "tool", "agent", "retrieval", "embedding", "guard", "evaluator", "chain", "other", "waiting")
        return stacked([(kind, 10.0 - i * 0.6, f"{10 - i} s") for i, kind in enumerate(kinds)])

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Lines, bars, and nothing."""
        times = tuple(1_795_000_000 + i * 3600 for i in range(24))
        waves = tuple(900 + 300 * (i % 7) for i in range(24))
        return (
            Chart(
                label="lines",
                unit="ms",
                times=times,
                bucket_s=3600,
                lines=(
                    Line(label="p50", values=waves),
                    Line(label="p95", values=tuple(v * 2 for v in waves)),
                    Line(label="p99", values=tuple(None if i % 5 == 0 else v * 3 for i, v in enumerate(waves))),
                ),
            ),
            Chart(
                label="bars",
                unit="count",
                times=times,
                bucket_s=3600,
                lines=(
                    Line(label="traces", values=waves, bars=True),
                    Line(label="failed", values=tuple(v // 9 for v in waves), bars=True, bad=True),
                ),
            ),
            Chart(
                label="empty", unit="usd", times=times, bucket_s=3600, lines=(Line(label="cost", values=(None,) * 24),)
            ),
        )


def gather(visit: Visit) -> PatternsPage:
    """Make the samples."""
    return PatternsPage(
        title="Patterns",
        command="pilothouse open /patterns",
        window=visit.window(),
        setup=setup(visit.visitor),
        hostile=HOSTILE,
        long="A long value. " * 200,
        problem={
            "kind": "bad_request",
            "message": "there is no field 'agnet' to filter on",
            "got": "agnet:support",
            "allowed": ["agent"],
            "fix": "pilothouse ls agent:support",
        },
    )


PATTERNS = PageSpec(name="patterns", path="/patterns", context=PatternsPage, gather=gather)
