"""Online evals: each scorer of production traces with its rate and trend, what is unscored and why, and the worst traces."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pilothouse.online import DAYS_MAX, Figures, OnlineOverview, ScorerReport
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit

DAYS: Final = 14
_HEIGHT: Final = 56.0
_EDGE: Final = 4.0
_SLOT: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendDay:
    """One day of a scorer's trend, as it is drawn: places in a picture 56 high with 20 to a day."""

    day: str
    x: float
    y: float | None
    """Of the rate, else of the mean; None: nothing was scored."""
    low: float | None
    """Of the ends of its interval."""
    high: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerTrend:
    """A scorer with its trend."""

    report: ScorerReport
    trend: tuple[TrendDay, ...]
    width: float

    @property
    def drawn(self) -> bool:
        """Whether there is a day to draw."""
        return any(one.y is not None for one in self.trend)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlinePage(PageContext):
    """Online evals."""

    overview: OnlineOverview = field(metadata=told("the scorers of the policy, how they stand, and what they scored"))
    rows: tuple[ScorerTrend, ...] = field(metadata=told("the same, each with its trend by day, ready to be drawn"))


def gather(visit: Visit) -> OnlinePage:
    """Read the scorers."""
    days = visit.number("days", DAYS, at_least=1, at_most=DAYS_MAX)
    found = visit.reader.online(days=days)
    return OnlinePage(
        title="Online evals",
        command="pilothouse eval online" + ("" if days == DAYS else f" --days {days}"),
        overview=found,
        rows=tuple(_trend(one, days, visit.now_ns) for one in found.scorers),
    )


def _trend(report: ScorerReport, days: int, now_ns: int) -> ScorerTrend:
    today = datetime.fromtimestamp(now_ns / 1e9, tz=UTC)
    by_day = {one.day: one.figures for one in report.days}
    names = [f"{today - timedelta(days=back):%Y-%m-%d}" for back in reversed(range(days))]
    most = max((one.mean for one in by_day.values() if one.mean is not None), default=1.0) or 1.0
    points = tuple(_point(name, place, by_day.get(name), most) for place, name in enumerate(names))
    return ScorerTrend(report=report, trend=points, width=days * _SLOT)


def _point(day: str, place: int, found: Figures | None, most: float) -> TrendDay:
    x = place * _SLOT + _SLOT / 2
    if found is None or (found.rate is None and found.mean is None):
        text = f"{day}: nothing scored" if found is None else f"{day}: none of {found.unscored} could be scored"
        return TrendDay(day=day, x=x, y=None, low=None, high=None, text=text)
    if found.rate is not None:
        value, low, high, scale = found.rate, found.rate_low, found.rate_high, 1.0
        text = f"{day}: {found.rate:.0%} of {found.scored} pass"
    else:
        value, low, high, scale = found.mean or 0.0, found.mean_low, found.mean_high, most
        text = f"{day}: mean {value:.3g} of {found.scored}"
    if low is not None and high is not None:
        text += f" ({low:.0%} to {high:.0%})" if found.rate is not None else f" ({low:.3g} to {high:.3g})"
    return TrendDay(
        day=day,
        x=x,
        y=_y(value / scale),
        low=None if low is None else _y(low / scale),
        high=None if high is None else _y(high / scale),
        text=text + (f", {found.unscored} unscored" if found.unscored else ""),
    )


def _y(share: float) -> float:
    return round(_HEIGHT - _EDGE - min(1.0, max(0.0, share)) * (_HEIGHT - 2 * _EDGE), 1)


ONLINE = PageSpec(name="online", path="/evals/online", context=OnlinePage, gather=gather)
