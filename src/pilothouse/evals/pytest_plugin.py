"""Cases and decisions in pytest: loaded by pytest itself where Pilothouse is installed.

    def test_a_late_order_is_refunded(decision):
        seen = decision(agent, "Refund order 4411", stubs={"get_order": {"late": True}})
        seen.tool("refund", order=4411, amount="$5").no_tool("delete").says(excludes="guarantee")

    @pytest.mark.pilothouse("evals/refunds", repeats=3)
    def test_refunds(eval_case):
        eval_case.passes(agent)

    def test_the_answer_is_kind(decision):
        decision(agent, "Where is it?", whole=True).meets("The tone is kind", suite="evals/refunds", unscored="skip")

    def test_last_weeks_session(trajectory):
        trajectory(agent, "sessions/refund-7.json").holds(judge="careful", suite="evals/refunds")

``trajectory`` lets it decide again at each decision of a recorded session.
``decision`` builds the history up to a decision, runs the real orchestrator and stops it there where it can be stopped;
``eval_case`` is every case of a suite in turn. Comparison is tolerant: ``2 s`` is ``2000 ms``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from pilothouse.evals.case import Case, Replay
    from pilothouse.evals.judges.asking import Panel
    from pilothouse.evals.observed import Observed
    from pilothouse.evals.pytest_trajectory import Session, Trajectory
    from pilothouse.evals.runner import Options

MARK = "pilothouse"
Unscored = Literal["fail", "skip"]
UNSCORED = ("fail", "skip")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(suite, repeats=0, decision_only=False, judges=False, unscored='fail'): run the test once for each case",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case of the suite that the mark names."""
    if "eval_case" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None or not mark.args:
        raise pytest.UsageError(f'{metafunc.definition.nodeid}: eval_case needs @pytest.mark.{MARK}("evals/NAME")')
    from pilothouse.evals.suite import Suite
    from pilothouse.records import PilothouseError

    folder = Path(str(mark.args[0]))
    try:
        suite = Suite(folder if folder.is_absolute() else metafunc.config.rootpath / folder)
        if suite.broken():
            raise pytest.UsageError(f"{suite.broken()[0].file}: {suite.broken()[0].error}")
        cases = list(suite.cases())
    except PilothouseError as error:
        raise pytest.UsageError(f"{error.message} (got {error.got})") from error
    marks = [pytest.mark.skip(reason=f"quarantined: {one.quarantined}") if one.quarantined else () for one in cases]
    if mark.kwargs.get("unscored", "fail") not in UNSCORED:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: unscored is one of {', '.join(UNSCORED)}")
    given = [
        pytest.param((one, {"folder": suite.folder, **mark.kwargs}), id=one.id, marks=skip)
        for one, skip in zip(cases, marks, strict=True)
    ]
    metafunc.parametrize("eval_case", given, indirect=True)


@pytest.fixture
def eval_case(request: pytest.FixtureRequest) -> EvalCase:
    """One case of the suite that the mark names."""
    case, options = request.param
    return EvalCase(
        case=case,
        repeats=options.get("repeats", 0),
        decision_only=options.get("decision_only", False),
        folder=options["folder"],
        suite=options["folder"] if options.get("judges") else None,
        unscored=options.get("unscored", "fail"),
    )


@pytest.fixture
def decision() -> Callable[..., Seen]:
    """Runs an orchestrator up to its next decision, on a history; see the head of this file."""
    return decide


@pytest.fixture
def trajectory() -> Callable[..., Trajectory]:
    """Replays a recorded session, decision by decision; see the head of this file."""
    return replay


def replay(
    target: Any,
    session: Session,
    *,
    mode: Replay = "in_order",
    live: Sequence[str] = (),
    safe: Sequence[str] = (),
    writing: Sequence[str] = (),
) -> Trajectory:
    """Let an orchestrator decide again at each decision of a session: its messages, or a JSON file that holds them.

    ``mode``, ``live``, ``safe`` and ``writing`` as in ``pilothouse eval replay``.
    """
    from pilothouse.evals.pytest_trajectory import replayed

    return replayed(_waited, target, session, mode=mode, live=live, safe=safe, writing=writing)


@dataclass(frozen=True, kw_only=True)
class EvalCase:
    """One case, to be run against a target."""

    case: Case
    repeats: int = 0
    decision_only: bool = False
    folder: Path | None = None
    """Whose suite.yaml says which tools write and which run themselves; None: nobody says."""
    suite: Path | None = None
    """Where the judges of its criteria stand; None: no judge is asked."""
    unscored: Unscored = "fail"
    """What no check and no judge could decide never passes: the test fails, or is skipped with the reason."""

    def passes(self, target: Any) -> None:
        """Run it, as often as is asked, and fail with the first reason that an attempt does not pass."""
        from pilothouse.evals.runner import attempt
        from pilothouse.evals.settings import scorer_finder
        from pilothouse.evals.targets.resolve import named, resolve

        run = resolve(target)
        scorers = scorer_finder(Path.cwd(), named)
        judges = _panel(self.suite) if self.suite is not None and self.case.criteria else None
        open_ = ""
        for number in range(1, max(1, self.repeats or self.case.repeats) + 1):
            found = _waited(attempt(self.case, number, run, _options(self.folder, self.decision_only), judges, scorers))
            if found.outcome == "unscored":
                open_ = open_ or f"{self.case.id} says nothing: {found.why}"
            if found.outcome == "fail":
                called = f"\ncalled: {', '.join(found.tools)}" if found.tools else ""
                pytest.fail(
                    f"{self.case.id}, attempt {number}: {found.why}{called}\nsaid: {found.text[:2_000]}", pytrace=False
                )
        # Behind all attempts: one that fails is told of before one that nobody could judge.
        if open_:
            _undecided(open_, self.unscored)


def decide(
    target: Any,
    messages: str | Sequence[Mapping[str, Any]],
    *,
    stubs: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    live: Sequence[str] = (),
    safe: Sequence[str] = (),
    whole: bool = False,
) -> Seen:
    """Run an orchestrator on a history, up to its next decision.

    ``stubs``, ``live``, ``safe``: answers of tools, those that run themselves, and those that may although they write, as
    in a case. ``whole``: let it go on to its answer.
    """
    from pilothouse.evals.case_text import read_case
    from pilothouse.evals.playback import Playback
    from pilothouse.evals.targets.attempt import Attempt
    from pilothouse.evals.targets.resolve import resolve

    given = messages if isinstance(messages, str) else {"messages": [dict(one) for one in messages]}
    calls = dict(stubs) if isinstance(stubs, Mapping) else [dict(one) for one in stubs]
    answers = {"calls": calls, "live": list(live), "safe": list(safe)}
    case = read_case({"id": "decision", "input": given, "stubs": answers}, shown="decision")
    tried = Attempt(case=case, playback=Playback(case.stubs, live=whole), decision_only=not whole)

    async def run() -> Observed:
        return await resolve(target)(tried)

    return Seen(_waited(run()), case)


class Seen:
    """What an orchestrator decided; each method asserts one thing and gives the same object back."""

    def __init__(self, observed: Observed, case: Case | None = None) -> None:
        self.observed = observed
        self.case = case

    def tool(self, name: str, /, *, mode: str = "tolerant", times: int | None = None, **arguments: Any) -> Seen:
        """It called this tool, with these arguments among others."""
        options: dict[str, Any] = {"arguments": arguments, "mode": mode} if arguments else {}
        return self.check({"tool": name, **options, **({} if times is None else {"times": times})})

    def first_tool(self, name: str, /, **arguments: Any) -> Seen:
        """Its first call was this one."""
        return self.check({"tool": name, "first": True, **({"arguments": arguments} if arguments else {})})

    def no_tool(self, name: str = "*", /, **arguments: Any) -> Seen:
        """It did not call this tool, or none at all."""
        return self.check({"no_tool": name, **({"arguments": arguments} if arguments else {})})

    def says(
        self,
        *,
        contains: str | Sequence[str] = (),
        any_of: Sequence[str] = (),
        excludes: str | Sequence[str] = (),
        number: float | str | None = None,
        within: float | str = 0,
    ) -> Seen:
        """Its answer has these words, one of those, none of these, and this number."""
        texts = {"contains": contains, "contains_any": any_of, "excludes": excludes}
        for kind, wanted in texts.items():
            if wanted:
                self.check({kind: wanted if isinstance(wanted, str) else list(wanted)})
        return self if number is None else self.check({"number": number, "within": within})

    def meets(self, criterion: str, *, suite: str | Path, judge: str = "", unscored: Unscored = "fail") -> Seen:
        """A judge of the suite, its first where none is named, finds the criterion met.

        What the judge could not score fails, or is skipped with the reason where ``unscored`` is ``skip``.
        """
        __tracebackhide__ = True
        from pilothouse.evals.case import Case, Criterion, Input

        if unscored not in UNSCORED:
            raise ValueError(f"unscored is one of {', '.join(UNSCORED)}, not {unscored!r}")
        case = self.case or Case(id="decision", input=Input())
        asked = replace(case, criteria=(Criterion(text=criterion, judge=judge),))
        said = _waited(_panel(Path(suite))(asked, self.observed)).said[0]
        if said.outcome == "unscored":
            _undecided(f"{criterion}: {said.why}", unscored)
        assert said.outcome == "pass", f"{criterion}: {said.why} ({said.judge})"
        return self

    def check(self, check: Mapping[str, Any]) -> Seen:
        """Any check of a case: ``{"output": {…}}``, ``{"at_most": {…}}``."""
        __tracebackhide__ = True
        from pilothouse.evals.checks import read_check, run_check

        found = run_check(read_check(check, "check"), self.observed)
        gone = next((use for use in self.observed.tools if use.answered == "gone"), None)
        assert gone is None, gone.error if gone else ""
        assert found.outcome == "pass", f"{found.name}: {found.why}"
        return self


def _panel(suite: Path) -> Panel:
    """The judges of a suite, ready to be asked."""
    from pilothouse.evals.judges.asking import Panel
    from pilothouse.evals.judges.settings import read_judges
    from pilothouse.evals.settings import load_settings

    return Panel(folder=suite, judges=read_judges(load_settings(suite).judges, suite))


def _undecided(why: str, how: Unscored) -> None:
    if how == "skip":
        pytest.skip(f"unscored: {why}")
    pytest.fail(why, pytrace=False)


def _options(folder: Path | None, decision_only: bool) -> Options:
    from pilothouse.evals.runner import Options
    from pilothouse.evals.settings import load_settings

    said = load_settings(folder).options if folder is not None else Options()
    return Options(decision_only=decision_only, writing=said.writing, live=said.live)


def _waited(running: Any) -> Any:
    """The result of a coroutine; in a thread of its own where a loop runs here already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(running)
    found: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(running))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="pilothouse-decision")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
