"""Which period it is, also when the clock jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .rules import Per


def period_of(per: Per, now_ns: int, *, latest: str = "") -> str:
    """The name of the period, in UTC: ``2026-11-29T10``, ``2026-11-29``, ``2026-W48``, ``2026-11``, ``ever``.

    ``latest`` is the latest one that was spent in. A clock that goes back over the border does not open the period
    before it again, nor a new one: the latest goes on. One that is further ahead was itself a jump of the clock: the
    calendar holds again, and what was spent in its period still counts.
    """
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, tz=UTC)
    current = _name(per, now)
    return latest if current < latest <= _name(per, _next(per, now)) else current


def ends_in_s(per: Per, now_ns: int) -> int | None:
    """Seconds until the period ends by the calendar; None for what never begins anew."""
    if per == "ever":
        return None
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, tz=UTC)
    return max(int((_next(per, now) - now).total_seconds()), 1)


def lasts_s(per: Per, now_ns: int) -> int | None:
    """Seconds from the beginning of the period of now to its end; None for what never begins anew."""
    if per == "ever":
        return None
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, tz=UTC)
    end = _next(per, now)
    if per == "month":
        return int((end - (end - timedelta(days=1)).replace(day=1)).total_seconds())
    return {"hour": 3_600, "day": 86_400, "week": 604_800}[per]


def _name(per: Per, moment: datetime) -> str:
    if per == "ever":
        return "ever"
    if per == "week":
        year, week, _ = moment.isocalendar()
        return f"{year}-W{week:02d}"
    return moment.strftime({"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[per])


def _next(per: Per, moment: datetime) -> datetime:
    """The beginning of the period after this one."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if per == "week":
        return day + timedelta(days=7 - day.weekday())
    if per == "month":
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + timedelta(days=1)
