"""Who judges history: a judge of the suite, a rubric asked of the suite's first model, or a function of the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilothouse.evals.case import Case
from pilothouse.evals.checks import CodeScorer, read_check, run_check
from pilothouse.evals.judges.asking import Panel
from pilothouse.evals.judges.settings import Judge, read_judge
from pilothouse.evals.observed import Observed
from pilothouse.evals.runner import Judged, Judges
from pilothouse.evals.runs import Said
from pilothouse.evals.settings import SuiteSettings
from pilothouse.records import BadRequest

CRITERION: Final = "What the agent did in this session meets the rubric"
"""What a judge is asked where nobody says it: the rubric says the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One judge, ready to be asked in a run."""

    name: str
    ask: Judges
    versions: Mapping[str, str]
    """For the head of a run; empty for a function, whose version is that of the code."""
    judge: Judge | None
    """None for a function."""


def asked(name: str, settings: SuiteSettings, folder: Path, scorers: Callable[[str], CodeScorer]) -> Asked:
    """A judge by its name, a rubric's name or file, or ``module:function``.

    Raises:
        BadRequest: a rubric is named, and no judge of the suite says which model is asked.
        NotFound: there is no such rubric or function.
    """
    if ":" in name:
        scorers(name)
        return Asked(name=name, ask=_Scored(name, scorers), versions={}, judge=None)
    sections = settings.judges
    if name in sections:
        judge = read_judge(name, sections[name], folder)
    elif not sections:
        raise BadRequest(
            "a rubric is asked of a model, and the suite names none",
            got=name,
            fix="pilothouse eval judge new careful --model gpt-4.1",
        )
    else:
        # The first judge's model and settings with another rubric: what its own rubric brings along stays behind.
        first = {key: value for key, value in next(iter(sections.values())).items() if key not in ("reference", "gate")}
        short = re.sub(r"[^\w-]+", "-", Path(name).stem)[:60].strip("-") or "rubric"
        judge = read_judge(short, {**first, "rubric": name}, folder)
    panel = Panel(folder=folder, judges={judge.name: judge})
    panel.keep_versions()
    return Asked(name=judge.name, ask=panel, versions=panel.versions, judge=judge)


class _Scored:
    """A function of the user's own in the place of a judge."""

    def __init__(self, name: str, scorers: Callable[[str], CodeScorer]) -> None:
        self._name, self._scorers = name, scorers
        self._check: Any = read_check({"code": name}, name)

    async def __call__(self, case: Case, seen: Observed) -> Judged:
        found = run_check(self._check, seen, scorers=self._scorers)
        return Judged(said=(Said(name=found.name, outcome=found.outcome, why=found.why, score=found.score),))
