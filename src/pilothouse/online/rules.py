"""The section ``online`` of the policy file: what is scored of production traces, how much of it, and for how much money.

online:
  helpful:
    judge: {model: gpt-4.1-mini, rubric: helpfulness, key: env:OPENAI_API_KEY, url: https://api.openai.com/v1}
    criterion: The answer does what the user asked for
    filter: "agent:refunds -tag:test"
    sample: 0.05
    usd_per_day: 2
  whole-talk: {judge: careful, suite: evals/refunds, level: session, criterion: The customer is content}
  no-loops:   {check: repeated_calls}
  cheap:      {check: cost, at_most: 0.25}
  polite:     {code: "shop.scorers:polite", level: session}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from pilothouse.records import BadRequest, canonical_json
from pilothouse.traces import parse_filter

Level = Literal["tool_call", "task", "trace", "session"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
Kind = Literal["judge", "code", "check"]
CHECKS: Final[Mapping[str, str]] = {
    "finished": "it ended without an error and gave an answer",
    "tool_errors": "the share of tool calls that failed; passes up to at_most, 0 unless said",
    "repeated_calls": "calls of a tool with the very same arguments, beyond the first; passes up to at_most, 0 unless said",
    "cost": "US dollars; passes up to at_most",
    "duration": "seconds; passes up to at_most",
}
"""What needs no model and no code: name, and what its number is."""
_NEED_AT_MOST: Final = ("cost", "duration")
SCORERS_MAX: Final = 50
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_CODE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
QUIET_S: Final[Mapping[Level, float]] = {"tool_call": 30.0, "task": 30.0, "trace": 30.0, "session": 600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """One scorer of the section."""

    name: str
    """Also the name of its scores."""
    judge: Mapping[str, Any] | str = ""
    """A judge's settings, as in ``suite.yaml``; or the name of one of the judges of ``suite``."""
    suite: str = ""
    """A suite's folder, seen from the policy file: its judges, its rubrics, and the labels they were held against."""
    criterion: str = ""
    """What the judge is asked, in words."""
    code: str = ""
    """``module:function``; runs only where the configuration of the server allows it."""
    check: str = ""
    """One of ``CHECKS``."""
    at_most: float | None = None
    """Of a check: the number up to which it passes."""
    level: Level = "trace"
    filter: str = ""
    """Which traces, in the filter language of every surface: ``agent:refunds user:acme* -tag:test``."""
    finished: bool = True
    """Only what has ended. Else a trace that has been quiet for ``quiet_s`` is scored as it stands."""
    sample: float = 1.0
    """The share of sessions, and of traces of none, from 0 to 1. By a hash: the same ones in each scorer, nested by share."""
    quiet_s: float = QUIET_S["trace"]
    """How long nothing may have changed before it is scored."""
    per_minute: float = 30.0
    """Scores a minute at most."""
    usd_per_day: float = 1.0
    """What its judge may spend in a day (UTC) on this server."""
    timeout_s: float = 10.0
    """For the code of one score."""

    @property
    def kind(self) -> Kind:
        """What does the scoring."""
        return "judge" if self.judge else "code" if self.code else "check"

    @property
    def falling(self) -> bool:
        """Whether a smaller number is the better one."""
        return bool(self.check) and self.check != "finished"

    def version(self, scored_by: str) -> str:
        """12 hex digits over all that a score depends on, not on what is scored and how much of it.

        ``scored_by``: the version of the judge, or the hash of the code.
        """
        counted = {
            "by": scored_by, "criterion": self.criterion, "check": self.check, "at_most": self.at_most,
            "level": self.level, "code": self.code,
        }  # fmt: skip
        return hashlib.sha256(canonical_json(counted).encode()).hexdigest()[:12]


def read_online(section: Mapping[str, Any] | None) -> tuple[Scorer, ...]:
    """Read the section ``online``; None or an empty one scores nothing.

    Raises:
        BadRequest: something is not known, not of its type or out of range: it names the path, value and remedy.
    """
    if section is not None and not isinstance(cast("object", section), Mapping):
        raise BadRequest("online holds scorers by name", got=repr(section)[:100], fix="done: {check: finished}")
    rows = section or {}
    if len(rows) > SCORERS_MAX:
        raise BadRequest(f"online has at most {SCORERS_MAX} scorers", got=len(rows))
    return tuple(_scorer(str(name), entry) for name, entry in rows.items())


def _scorer(name: str, entry: Any) -> Scorer:
    path = f"online.{name}"
    if not _NAME.fullmatch(name):
        raise BadRequest(
            "online: a scorer's name is one word of at most 60 letters, digits, _ and -",
            got=name[:80],
            fix="helpful: {check: finished}",
        )
    if not isinstance(entry, Mapping):
        raise BadRequest(f"{path} holds names and values", got=repr(entry)[:100], fix=f"{name}: {{check: finished}}")
    row = {str(key): value for key, value in cast("Mapping[Any, Any]", entry).items()}
    known = [one.name for one in fields(Scorer) if one.name != "name"]
    if unknown := sorted(set(row) - set(known)):
        raise BadRequest(f"{path} has no setting of this name", got=unknown[0], allowed=known)
    ways = [way for way in ("judge", "code", "check") if row.get(way)]
    if len(ways) != 1:
        raise BadRequest(
            f"{path} is scored by one of judge, code and check",
            got=", ".join(ways) or "none",
            fix=f"{name}: {{check: finished}}",
        )
    level = row.get("level", "trace")
    if level not in LEVELS:
        raise BadRequest(f"{path}.level is what gets a score", got=repr(level), allowed=list(LEVELS))
    scorer = Scorer(
        name=name,
        judge=_judge(row.get("judge"), path),
        suite=_text(row, "suite", path, 1_000),
        criterion=_text(row, "criterion", path, 4_000).strip(),
        code=_text(row, "code", path, 300),
        check=_text(row, "check", path, 60),
        at_most=None if row.get("at_most") is None else _number(row, "at_most", 0.0, path, 0, 1e12),
        level=level,
        filter=_text(row, "filter", path, 2_000),
        finished=_truth(row, "finished", True, path),
        sample=_number(row, "sample", 1.0, path, 0, 1),
        quiet_s=_number(row, "quiet_s", QUIET_S[level], path, 0, 86_400),
        per_minute=_number(row, "per_minute", 30.0, path, 0.01, 6_000),
        usd_per_day=_number(row, "usd_per_day", 1.0, path, 0.000001, 1e6),
        timeout_s=_number(row, "timeout_s", 10.0, path, 0.1, 300),
    )
    _check_ways(scorer, path)
    try:
        parse_filter(scorer.filter)
    except BadRequest as error:
        error.message = f"{path}.filter: {error.message}"
        raise
    return scorer


def _check_ways(scorer: Scorer, path: str) -> None:
    if scorer.kind == "judge":
        if not scorer.criterion:
            raise BadRequest(
                f"{path}.criterion is missing: what the judge is asked, in words",
                got="",
                fix="criterion: The answer does what the user asked for",
            )
        if isinstance(scorer.judge, str) and not scorer.suite:
            raise BadRequest(
                f"{path}.judge names a judge of a suite, and no suite is named",
                got=scorer.judge[:100],
                fix="suite: evals/refunds",
            )
    if scorer.code and not _CODE.fullmatch(scorer.code):
        raise BadRequest(f"{path}.code is module:function", got=scorer.code[:100], fix='code: "shop.scorers:polite"')
    if scorer.check:
        if scorer.check not in CHECKS:
            raise BadRequest(f"{path}.check is none of those there are", got=scorer.check[:100], allowed=list(CHECKS))
        if scorer.check in _NEED_AT_MOST and scorer.at_most is None:
            raise BadRequest(f"{path}.at_most is missing: up to where it passes", got="", fix="at_most: 0.25")


def _judge(value: Any, path: str) -> Mapping[str, Any] | str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        raise BadRequest(
            f"{path}.judge holds a judge's settings, or names one of a suite",
            got=repr(value)[:100],
            fix="judge: {model: gpt-4.1-mini, rubric: helpfulness}",
        )
    row = {str(key): one for key, one in cast("Mapping[Any, Any]", value).items()}
    check_judge(row, path)
    return row


def check_judge(row: Mapping[str, Any], path: str) -> None:
    """Refuse a judge's settings that are wrong, without looking for its rubric.

    Raises:
        BadRequest: as :func:`read_online`.
    """
    # A section without a judge, which is most of them, does not load what reads judges.
    from pilothouse.evals.judges.rubrics import TEMPLATES
    from pilothouse.evals.judges.settings import read_judge

    if "max_usd" in row:
        raise BadRequest(f"{path}.judge.max_usd is of a run: here money is capped by the day", got=row["max_usd"], fix="usd_per_day: 2")  # fmt: skip
    rubric = row.get("rubric")
    if rubric is not None and (not isinstance(rubric, str) or not rubric.strip() or len(rubric) > 100_000):
        raise BadRequest(
            f"{path}.judge.rubric is a template, a file beside the policy, or the text itself",
            got=repr(rubric)[:100],
            allowed=list(TEMPLATES),
        )
    shown = row if rubric in TEMPLATES or rubric is None else {**row, "rubric": "style"}
    try:
        read_judge("judge", shown, Path())
    except BadRequest as error:
        error.message = error.message.replace("suite.yaml: judges.judge", f"{path}.judge")
        raise


def _text(row: Mapping[str, Any], name: str, path: str, chars_max: int) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > chars_max:
        raise BadRequest(f"{path}.{name} is a text of at most {chars_max:,} characters", got=repr(value)[:100])
    return value


def _number(row: Mapping[str, Any], name: str, default: float, path: str, least: float, most: float) -> float:
    value = row.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise BadRequest(f"{path}.{name} is a number from {least:g} to {most:g}", got=repr(value)[:100])
    return float(value)


def _truth(row: Mapping[str, Any], name: str, default: bool, path: str) -> bool:
    value = row.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{path}.{name} is true or false", got=repr(value)[:100])
    return value
