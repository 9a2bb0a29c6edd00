"""Online evals to look at: a judge with a course, one whose money is spent, a check, and one that does not run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from pilothouse.online import REASONS, Figures, OnlineOverview, OnlineScore, ScorerDay, ScorerReport, Unscored
from pilothouse.records import iso
from pilothouse.records.statistics import wilson

from .sample import HOSTILE, NOW_NS


def sample_online(days: int, *, empty: bool = False) -> OnlineOverview:
    """Scorers of every state."""
    judge = _judge(days)
    check = replace(
        judge,
        name="cheap",
        kind="check",
        what="cost: US dollars; passes up to at_most (at_most 0.25)",
        filter="",
        sample=1.0,
        scored_by="check cost",
        calibrated="",
        usd_per_day=None,
        held_usd=0.0,
        state="running",
        to_retry=0,
        down_since="",
        down_why="",
        next_retry="",
        unscored=(),
        figures=replace(judge.figures, mean=0.031, mean_low=0.027, mean_high=0.035),
        worst=(replace(judge.worst[0], value=1.42, why="$1.4200"),),
    )
    capped = replace(
        judge, name="whole-talk", level="session", state="capped", calibrated="yes", spent_usd=1.998, worst=()
    )
    broken = replace(
        judge,
        name="polite",
        kind="code",
        what="shop.scorers:polite",
        state="broken",
        problem=f"code runs only where the configuration of the server names it (got {HOSTILE})",
        calibrated="",
        scored_by="",
        version="",
        run="",
        figures=_figures(0, 0, 0),
        days=(),
        unscored=(),
        worst=(),
        usd_per_day=None,
    )
    waiting = replace(broken, name="new", state="waiting", problem="", what="It answers in the user's language")
    return OnlineOverview(
        scorers=() if empty else (judge, check, capped, broken, waiting),
        days=days,
        policy="none" if empty else "5f4e3d2c1b0a",
        error="" if empty else f"online.b.level is what gets a score {HOSTILE}",
    )


def _judge(days: int) -> ScorerReport:
    random = Random(7)
    today = datetime.fromtimestamp(NOW_NS / 1e9, tz=UTC)
    course: list[ScorerDay] = []
    for back in reversed(range(days)):
        scored = random.randint(20, 90) if back != 5 else 0
        passed = round(scored * (0.93 - 0.02 * (days - back) / days * 9 + random.uniform(-0.04, 0.04)))
        found = _figures(scored, passed, random.randint(0, 6))
        course.append(ScorerDay(day=f"{today - timedelta(days=back):%Y-%m-%d}", figures=found, spent_usd=0.4))
    scored = sum(one.figures.scored for one in course)
    return ScorerReport(
        name="helpful",
        kind="judge",
        what=f"The answer does what the user asked for {HOSTILE}",
        level="trace",
        filter="agent:refunds -tag:test",
        sample=0.05,
        per_minute=30.0,
        state="down",
        problem="",
        version="edbf9310dd31",
        run="online:helpful@edbf9310dd31",
        scored_by="gpt-4.1-mini, prompt 71e3efc8",
        calibrated="11 labelled items truly pass; 30 are needed",
        usd_per_day=2.0,
        spent_usd=0.4127,
        held_usd=0.0064,
        to_retry=1_204,
        down_since=iso(NOW_NS - 5_400_000_000_000),
        down_why=f"the judge failed: it answered 503 {HOSTILE}",
        next_retry=iso(NOW_NS + 300_000_000_000),
        behind_s=12.0,
        figures=_figures(scored, sum(one.figures.passed or 0 for one in course), 31),
        days=tuple(course),
        unscored=tuple(
            Unscored(reason=reason, count=count, means=REASONS[reason], example=f"of it {HOSTILE}")
            for reason, count in (("cap", 19), ("unclear", 8), ("unreadable", 4))
        ),
        worst=(
            _score(trace_id="a1b2c3d4" * 4, why="the order is the wrong one"),
            _score(trace_id="b1b2c3d4" * 4, span_id="a1b2c3d4e5f60718", why=HOSTILE),
            _score(session_id="chat 7/ä", why="the customer asked three times"),
        ),
    )


def _score(*, trace_id: str = "", span_id: str = "", session_id: str = "", why: str) -> OnlineScore:
    at = iso(NOW_NS - 3_600_000_000_000)
    return OnlineScore(
        trace_id=trace_id, span_id=span_id, session_id=session_id, value=0.0, label="fail", why=why, at=at
    )


def _figures(scored: int, passed: int, unscored: int) -> Figures:
    held = wilson(passed, scored) if scored else None
    return Figures(
        scored=scored,
        unscored=unscored,
        passed=passed if scored else None,
        rate=passed / scored if scored else None,
        rate_low=held.low if held else None,
        rate_high=held.high if held else None,
        mean=None,
        mean_low=None,
        mean_high=None,
    )
