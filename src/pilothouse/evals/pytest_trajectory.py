"""What the fixture ``trajectory`` gives: a recorded session, decided again by an agent of the user's own test."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

from .backtests.judging import asked
from .case import Replay
from .judges.trajectory import check_judge, decides, holds, judge_replay
from .recording import Recording, recorded
from .settings import load_settings, scorer_finder
from .targets.resolve import named, resolve
from .trajectory import Replayed, replay

if TYPE_CHECKING:
    from .pytest_plugin import Unscored

_BYTES_MAX = 64 << 20
_SHOWN = 20
Session = str | Path | Recording | Sequence[Mapping[str, Any]]


class Waits(Protocol):
    """Runs a coroutine to its end, wherever it is called."""

    def __call__(self, running: Coroutine[Any, Any, Any], /) -> Any:
        """Its result."""
        ...


class Trajectory:
    """What became of a recorded session, decision by decision."""

    def __init__(self, found: Replayed, recording: Recording, wait: Waits) -> None:
        self.replayed = found
        self._recording, self._wait = recording, wait

    @property
    def verdicts(self) -> list[str]:
        """Of each decision, in order."""
        return [one.verdict for one in self.replayed.steps]

    def holds(self, *, judge: str = "", suite: str | Path = "", unscored: Unscored = "fail") -> Trajectory:
        """Every decision holds by its mode; or a judge of the suite that may gate finds the session as good as it was.

        A judge that may not gate decides nothing: the mode does. What one that may could not score never passes: the test
        fails, or is skipped with the reason where ``unscored`` is ``skip``.
        """
        __tracebackhide__ = True
        if unscored not in ("fail", "skip"):
            raise ValueError(f"unscored is one of fail, skip, not {unscored!r}")
        if not judge:
            if not self.replayed.holds:
                pytest.fail(self._told("the session does not hold"), pytrace=False)
            return self
        folder = Path(suite)
        one = check_judge(asked(judge, load_settings(folder), folder, scorer_finder(folder, named)).judge, judge)
        said = self._wait(judge_replay(self.replayed, self._recording, one, folder))
        word = f"judge {said.judge}: {said.verdict.replace('_', ' ')}: {said.why}"
        if not said.counts:
            word += f"; it may not gate, so the mode decides: {'; '.join(said.why_not)}"
        if not holds(self.replayed, said):
            pytest.fail(self._told(f"the session does not hold\n{word}"), pytrace=False)
        if said.counts and not decides(said):
            if unscored == "skip":
                pytest.skip(word)
            pytest.fail(word, pytrace=False)
        return self

    def _told(self, head: str) -> str:
        steps = [one for one in self.replayed.steps if one.verdict != "same"]
        lines = [head, f"mode {self.replayed.mode}: {self.replayed.counts}"]
        for one in steps[:_SHOWN]:
            lines += [f"{one.number:03d} {one.verdict}: {one.today}", f"    then: {one.recorded}"]
        return "\n".join(lines)


def replayed(
    wait: Waits,
    target: Any,
    session: Session,
    *,
    mode: Replay = "in_order",
    live: Sequence[str] = (),
    safe: Sequence[str] = (),
    writing: Sequence[str] = (),
) -> Trajectory:
    """Let an agent decide again at each decision of a recorded session."""
    recording = session if isinstance(session, Recording) else recorded(_messages(session))
    running = replay(recording, resolve(target), mode=mode, live=live, safe=safe, writing=frozenset(writing))
    return Trajectory(wait(running), recording, wait)


def _messages(session: str | Path | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The conversation itself, or as a file has it: a list, or an object with ``messages``."""
    if not isinstance(session, str | Path):
        return session
    path = Path(session)
    if path.stat().st_size > _BYTES_MAX:
        raise ValueError(f"{path} has more than {_BYTES_MAX >> 20} MiB")
    found: Any = json.loads(path.read_bytes())
    found = cast("Mapping[str, Any]", found).get("messages") if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise ValueError(f"{path} holds no list of messages, and no object with messages")
    return cast("list[Mapping[str, Any]]", found)
