"""One scorer made ready, and one unit scored by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pilothouse.records import NotFound
from pilothouse.store import TraceStore
from pilothouse.store.online_store import OnlineStore

from .code import CodeScorer, check_allowed
from .judging import OwnGateway, Seat, judged, seat
from .model import Outcome
from .plain_checks import run_check
from .rules import Scorer
from .units import Unit, as_data, read_unit


@dataclass(slots=True, kw_only=True)
class Ready:
    """A scorer that can score."""

    scorer: Scorer
    version: str
    scored_by: str
    calibrated: str = ""
    seat: Seat | None = None
    code: CodeScorer | None = None

    @property
    def run(self) -> str:
        """The run its scores are written under."""
        return f"online:{self.scorer.name}@{self.version}"

    def close(self) -> None:
        """End what runs for it."""
        if self.code is not None:
            self.code.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What scoring needs besides a scorer."""

    store: TraceStore
    kept: OnlineStore
    folder: Path
    """Of the policy file: suites, rubrics and code are looked for from there."""
    allowed_code: tuple[str, ...] = ()
    gateway: OwnGateway = field(default_factory=lambda: OwnGateway(url=""))


def make_ready(scorer: Scorer, means: Means) -> Ready:
    """Find the judge of a scorer, or start its code.

    Raises:
        PilothouseError: it cannot score; the message says why.
    """
    if scorer.kind == "judge":
        found = seat(scorer, means.folder)
        return Ready(
            scorer=scorer,
            version=scorer.version(found.judge.version),
            scored_by=found.told,
            calibrated=found.calibrated,
            seat=found,
        )
    if scorer.kind == "code":
        check_allowed(scorer.code, means.allowed_code)
        code = CodeScorer(scorer.code, means.folder, timeout_s=scorer.timeout_s)
        source = code.source()
        return Ready(
            scorer=scorer, version=scorer.version(source), scored_by=f"{scorer.code}, source {source}", code=code
        )
    return Ready(scorer=scorer, version=scorer.version("check 1"), scored_by=f"check {scorer.check}")


async def score(ready: Ready, unit: Unit, project: str, means: Means, now_ns: int, *, answered: str = "") -> Outcome:
    """Score one unit; ``answered``: what its judge said before it was down. What the unit, the judge or the code did wrong is an outcome and no error.

    Raises:
        Unreachable: the store does not answer.
    """
    scorer = ready.scorer
    try:
        seen = await asyncio.to_thread(
            read_unit, means.store, project, unit, scorer.level, content=scorer.kind != "check"
        )
    except NotFound as error:
        return Outcome.none("gone", error.message)
    if ready.seat is not None:
        day = day_of(now_ns)
        return await judged(
            scorer,
            ready.seat,
            seen,
            project=project,
            store=means.kept,
            day=day,
            gateway=means.gateway,
            answered=answered,
        )
    if ready.code is None:
        return run_check(scorer, seen)
    if seen.too_large:
        return Outcome.none("too_long", f"it was not read: {seen.too_large}")
    return await asyncio.to_thread(ready.code.score, as_data(seen))


def day_of(ns: int) -> str:
    """The day in UTC that money is counted by."""
    return datetime.fromtimestamp(ns / 1e9, tz=UTC).strftime("%Y-%m-%d")
