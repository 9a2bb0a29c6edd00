"""Which moments of a schedule are due. No I/O; croniter reads the expression."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pilothouse.records import BadRequest

from .model import CATCH_UP_MAX, Schedule

_SECOND_NS = 1_000_000_000


def check(schedule: Schedule) -> None:
    """Refuse what is no schedule.

    Raises:
        BadRequest: the expression, the time zone or the rule for missed moments is none.
    """
    from croniter import croniter

    if schedule.catch_up not in ("latest", "all", "none"):
        raise BadRequest(
            f"schedule {schedule.name!r} does not say what missed moments become",
            got=schedule.catch_up,
            allowed=["latest", "all", "none"],
        )
    if not croniter.is_valid(schedule.cron) or len(schedule.cron.split()) not in (5, 6):
        raise BadRequest(
            f"schedule {schedule.name!r} has no cron expression", got=schedule.cron, allowed="five fields: */5 * * * *"
        )
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadRequest(f"schedule {schedule.name!r} names no time zone", got=schedule.timezone) from error


def due(schedule: Schedule, since_ns: int, now_ns: int, *, awake_since_ns: int) -> Sequence[int]:
    """The moments to serve in ``(since_ns, now_ns]``, oldest first.

    Those before ``awake_since_ns``, when this worker began, were missed; ``catch_up`` says which of them are made up for.
    """
    from croniter import croniter

    zone = ZoneInfo(schedule.timezone)
    backwards = croniter(schedule.cron, datetime.fromtimestamp(now_ns / 1e9 + 1e-3, tz=zone))
    moments: list[int] = []
    # From now back, so that years of missed moments cost no more than the bound.
    while len(moments) < CATCH_UP_MAX:
        moment_ns = round(backwards.get_prev(datetime).timestamp()) * _SECOND_NS
        if moment_ns <= since_ns:
            break
        if moment_ns <= now_ns:
            moments.append(moment_ns)
    moments.reverse()
    if schedule.catch_up == "all":
        return moments
    missed = [moment for moment in moments if moment < awake_since_ns]
    on_time = [moment for moment in moments if moment >= awake_since_ns]
    return ([] if schedule.catch_up == "none" else missed[-1:]) + on_time


def run_id(schedule: Schedule, moment_ns: int) -> str:
    """The id of the run of a moment: the same in every worker, so that it is started once."""
    when = datetime.fromtimestamp(moment_ns / 1e9, tz=UTC)
    return f"schedule_{schedule.name}_{when:%Y%m%dT%H%M%SZ}"
