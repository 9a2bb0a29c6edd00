"""``eval run``, ``runs``, ``compare``, ``gate`` and ``flaky``: what a suite comes to, and what a change did to it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pilothouse.records import BadRequest, GateFailed, NotFound, PilothouseError

from .evals import LOCAL, evals, open_suite, suite_option
from .help import command
from .root import Run
from .terminal import clean, one_line, table

if TYPE_CHECKING:
    from pilothouse.evals.compare import Comparison
    from pilothouse.evals.judges.asking import Panel
    from pilothouse.evals.judges.gating import Hearing
    from pilothouse.evals.runner import Progress
    from pilothouse.evals.runs import About, Result
    from pilothouse.evals.runs import Run as EvalRun
    from pilothouse.evals.settings import SuiteSettings
    from pilothouse.evals.suite import Suite

_PROGRESS_S = 0.2


@command(
    "run",
    examples=(
        "pilothouse eval run",
        "pilothouse eval run late-refund --repeats 10 --target my_agent:agent",
        "pilothouse eval run --resume last",
    ),
    keys="data: run cases passed failed flaky unscored by_capability by_tool[] failures[] judges[] judged[] cost_usd judge_usd stopped pushed{url}",
    exits=(0, 2, 3, 9),
    group=evals,
)
@click.argument("cases", nargs=-1)
@suite_option
@click.option("--target", default="", metavar="T", help="module:attribute or an address  [suite.yaml's]")
@click.option("--version", default="", metavar="NAME", help="of what is tested  [default: the commit and what changed]")
@click.option("--repeats", default=0, metavar="N", help="how often each case is run  [the case's, suite.yaml's, 1]")
@click.option("--parallel", default=0, metavar="N", help="at once  [suite.yaml's, 8]")
@click.option("--max-usd", default=-1.0, metavar="USD", help="stop when so much is spent  [suite.yaml's]")
@click.option("--fresh", is_flag=True, help="also what an earlier run of this version knows")
@click.option("--resume", default="", metavar="RUN", help="go on with a run that was broken off")
@click.option("--against", default="", metavar="RUN", help="stop as soon as it is certain what this one was to that")
@click.option("--decision-only", is_flag=True, help="stop at the agent's first decision")
@click.option("--push", "push_", is_flag=True, help="send it to the server as it ends  [suite.yaml's]")
@click.option("--no-judges", is_flag=True, help="ask no judge: cases with criteria alone are unscored")
@click.pass_obj
def run_(
    run: Run,
    cases: tuple[str, ...],
    suite: str,
    target: str,
    version: str,
    repeats: int,
    parallel: int,
    max_usd: float,
    fresh: bool,
    resume: str,
    against: str,
    decision_only: bool,
    push_: bool,
    no_judges: bool,
) -> int:
    """Run cases against an agent. Ctrl-C and kill -9 lose nothing: --resume last goes on. Exit 9: some do not pass."""
    from pilothouse.evals import runs
    from pilothouse.evals.report import summary_of
    from pilothouse.evals.settings import load_settings

    found = open_suite(suite)
    settings = load_settings(found.folder)
    panel = None if no_judges else panel_of(found, settings)
    again = runs.find(found.folder, resume) if resume else None
    if again is not None and again.about.backtest:
        raise BadRequest(
            "this run is a backtest", got=again.about.run, fix=f"pilothouse eval backtest --resume {again.about.run}"
        )
    if again is not None and dict(again.about.judges) != (panel.versions if panel is not None else {}):
        raise BadRequest(
            "the judges were changed since this run began",
            got=again.about.run,
            fix="begin a new run: --fresh is not needed",
        )
    about = again.about if again is not None else _about(found, settings, target, version, repeats, panel)
    options = settings.options
    options = replace(
        options,
        repeats=repeats,
        parallel=parallel or options.parallel,
        usd_max=max_usd if max_usd >= 0 else options.usd_max,
        fresh=fresh,
        decision_only=decision_only,
    )
    base = runs.find(found.folder, against) if against else None
    began = time.monotonic()
    made, progress = _go(found, settings, about, cases, options, again, base, panel)
    summary = {
        **summary_of(made),
        "judged": judged_rates_of(found, settings, made),
        "stopped": progress.stopped,
        "wall_s": round(time.monotonic() - began, 2),
    }
    if not progress.stopped or not progress.stopped.startswith("interrupted"):
        made.finish(summary)
    next_ = [f"pilothouse eval compare {base.about.run} {made.about.run}"] if base else []
    if progress.stopped:
        next_.append(f"pilothouse eval run --resume {made.about.run} --suite {found.folder}")
    pushed: dict[str, Any] = {}
    if push_ or settings.push:
        pushed = _pushed(run, found, made, against)
        summary["pushed"] = pushed
        if "error" in pushed:
            next_.insert(0, f"pilothouse eval push {made.about.run} --suite {found.folder}")
    run.output.answer(summary, human=_summary, next=next_ or [f"pilothouse eval runs --suite {found.folder}"])
    return 0 if summary["passed"] == summary["cases"] and "error" not in pushed else 9


def _pushed(run: Run, suite: Suite, made: EvalRun, against: str) -> dict[str, Any]:
    """Where the run is on the server; the error instead, since the run itself is done and must not be lost with it."""
    from .evals_push import send

    try:
        return send(run, suite, made, baseline=against)
    except PilothouseError as error:
        return {"error": error.message}


def panel_of(suite: Suite, settings: SuiteSettings) -> Panel | None:
    """The judges of a suite; None where it has none, or no case with criteria."""
    if not settings.judges or not any(one.criteria for one in suite.places().values()):
        return None
    from pilothouse.evals.judges.asking import Panel
    from pilothouse.evals.judges.settings import read_judges

    panel = Panel(folder=suite.folder, judges=read_judges(settings.judges, suite.folder))
    panel.keep_versions()
    return panel


def _about(
    suite: Suite, settings: SuiteSettings, target: str, version: str, repeats: int, panel: Panel | None
) -> About:
    from pilothouse.evals.runs import About
    from pilothouse.evals.version import code_version

    named = target or settings.target
    if not named:
        raise BadRequest("no target is named", fix="--target module:attribute, or target: in suite.yaml")
    return About(
        run="",
        suite=suite.name,
        suite_version=suite.version(),
        target=named,
        version=version or settings.version or code_version(suite.folder),
        judges=panel.versions if panel is not None else {},
        repeats=repeats or settings.repeats,
    )


def _go(
    suite: Suite,
    settings: SuiteSettings,
    about: About,
    cases: tuple[str, ...],
    options: Any,
    again: EvalRun | None,
    base: EvalRun | None,
    panel: Panel | None,
) -> tuple[EvalRun, Progress]:
    from pilothouse.evals.runner import run_suite
    from pilothouse.evals.settings import scorer_finder
    from pilothouse.evals.targets.resolve import named, resolve

    made: list[EvalRun] = []
    target = resolve(about.target, folder=Path.cwd())
    shown = Shown()
    try:
        return asyncio.run(
            run_suite(
                suite,
                target,
                about,
                cases=cases,
                options=options,
                again=again,
                judges=panel,
                scorers=scorer_finder(suite.folder, named),
                watch=shown.told,
                enough=_enough(suite, base, settings),
                begun=made.append,
            )
        )
    except KeyboardInterrupt:
        # What is known is on disk already.
        if not made:
            raise
        shown.progress.stopped = "interrupted"
        return made[0], shown.progress
    finally:
        shown.end()


def _enough(suite: Suite, base: EvalRun | None, settings: SuiteSettings) -> Callable[[Result], str] | None:
    if base is None:
        return None
    from pilothouse.evals.early import Certain

    told, hearing = Certain(base, settings.gate).told, hearing_of(suite, settings, base)
    return told if hearing is None else lambda result: told(hearing.without(result))


class Shown:
    """One line of progress on a terminal's standard error, renewed a few times a second."""

    def __init__(self) -> None:
        from pilothouse.evals.runner import Progress

        self.progress: Progress = Progress()
        self._next = 0.0
        self._on = sys.stderr.isatty()
        self._began = time.monotonic()

    def told(self, progress: Progress, result: Result) -> None:
        """Show one more result."""
        self.progress = progress
        now = time.monotonic()
        if not self._on or (now < self._next and progress.done < progress.total):
            return
        self._next = now + _PROGRESS_S
        share = progress.done / max(1, progress.total)
        bar = ("█" * int(share * 24)).ljust(24, "░")
        left = (now - self._began) / share * (1 - share) if share else 0.0
        line = (
            f"\r{bar} {progress.done:,}/{progress.total:,}  {progress.passed:,} pass  {progress.failed:,} fail"
            f"  {progress.unscored:,} unscored  {progress.cost_usd:.4f} USD  {left:.0f} s left"
        )
        sys.stderr.write(line.ljust(100)[:118])
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._on and self.progress.done:
            sys.stderr.write("\n")


def _summary(data: Mapping[str, Any]) -> Iterable[str]:
    taken = f", {data['taken_over']:,} attempts taken over from earlier runs" if data["taken_over"] else ""
    yield f"{data['run']}: {data['passed']:,} of {data['cases']:,} cases pass{taken}"
    parts = [f"{data[name]:,} {name}" for name in ("failed", "flaky", "unscored") if data[name]]
    cost = f"{data['cost_usd']:.4f} USD, judges {data['judge_usd']:.4f}"
    yield f"{', '.join(parts) or 'none fails'}; {cost}; {data.get('wall_s', data['seconds']):g} s"
    yield from (_judged(one) for one in data.get("judged", ()))
    if data["stopped"]:
        yield f"stopped: {clean(data['stopped'])}"
    if "pushed" in data:
        yield data["pushed"].get("url") or f"not pushed: {clean(data['pushed']['error'])}"
    rows = data["by_capability"]
    if len(rows) > 1:
        keys = ("capability", "cases", "passed", "failed", "flaky", "unscored")
        yield from table(keys, ([str(row[key]) for key in keys] for row in rows))
    if data["by_tool"]:
        yield from table(
            ("tool", "scorer", "calls", "passed", "unscored", "mean", "worst"), map(_tool, data["by_tool"])
        )
    for one in data["failures"][:20]:
        yield f"{one['case']}  {one['attempts']}  {one_line(one['why'], 140)}"
    if len(data["failures"]) > 20:
        yield "… more: --json"


def _tool(one: Mapping[str, Any]) -> list[str]:
    from pilothouse.evals.by_tool import worst_of

    mean = "–" if one["mean"] is None else f"{one['mean']:.3g}"
    counts = [f"{one[name]:,}" for name in ("calls", "passed", "unscored")]
    return [one_line(one["tool"], 40), one_line(one["scorer"], 40), *counts, mean, one_line(worst_of(one), 100)]


def _judged(one: Mapping[str, Any]) -> str:
    """A judge on a line: what it passes, what is truly so, and whether it may gate."""
    told = f"judge {one['judge']}: {one['unscored']:,} of {one['asked']:,} unscored"
    if "raw" in one:
        low, high = one["interval"] or (0, 1)
        truly = "unknown" if one["corrected"] is None else f"{one['corrected']:.1%} [{low:.1%}, {high:.1%}]"
        told += f"; passes {one['passed']:,} of {one['scored']:,} ({one['raw']:.1%}), truly {truly}"
    if one.get("why_not"):
        told += f"; {'gates all the same' if one['may_gate'] else 'may not gate'}: {clean('; '.join(one['why_not']))}"
    return told


@command(
    "runs",
    examples=(
        "pilothouse eval runs",
        "pilothouse eval runs --limit 5 --fields runs",
        "pilothouse eval runs --suite evals/refunds --human",
    ),
    keys="data: runs[]: run version target started cases passed failed flaky finished",
    exits=LOCAL,
    group=evals,
)
@suite_option
@click.option("--limit", default=20, metavar="N", help="at most so many  [default: 20]")
@click.pass_obj
def runs_(run: Run, suite: str, limit: int) -> None:
    """List the runs of a suite, the newest first."""
    from pilothouse.evals import runs
    from pilothouse.evals.report import summary_of

    found = open_suite(suite)
    rows: list[dict[str, Any]] = []
    for one in runs.every(found.folder)[: max(1, limit)]:
        summary = one.summary or summary_of(one)
        row = {name: summary.get(name) for name in ("cases", "passed", "failed", "flaky", "unscored", "cost_usd")}
        about = one.about
        rows.append(
            {"run": about.run, "version": about.version, "target": about.target, "started": about.started, **row,
             "finished": bool(one.summary)}
        )  # fmt: skip
    run.output.answer({"runs": rows}, human=_runs)


def _runs(data: Mapping[str, Any]) -> Iterable[str]:
    rows = data["runs"]
    if not rows:
        yield "no runs yet: pilothouse eval run"
        return
    keys = ("run", "version", "started", "cases", "passed", "failed", "flaky", "unscored", "finished")
    yield from table(keys, ([one_line(str(row.get(key, "")), 40) for key in keys] for row in rows))


_FORMATS = ("md", "junit", "json")


@command(
    "compare",
    examples=(
        "pilothouse eval compare run-0001 run-0002",
        "pilothouse eval compare last-1 last --as md --out report.md",
        "pilothouse eval compare main last",
    ),
    keys="data: outcome reasons counts verdict{p mid_p difference interval cases_more sentence} by_capability changes[]",
    exits=LOCAL,
    group=evals,
)
@click.argument("base")
@click.argument("candidate", default="last")
@suite_option
@click.option(
    "--margin", default=-1.0, metavar="SHARE", help="the loss of pass rate that is accepted  [suite.yaml's, 0.02]"
)
@click.option("--rows", default=50, metavar="N", help="changed cases listed  [default: 50]")
@click.option("--as", "as_", type=click.Choice(["md"]), default=None, help="Markdown, for a pull request")
@click.pass_obj
def compare(run: Run, base: str, candidate: str, suite: str, margin: float, rows: int, as_: str | None) -> None:
    """What changed from one run to another: a run, last, last-1, or a version. Paired by case, tested for chance."""
    found = open_suite(suite)
    compared = compared_runs(found, base, candidate, margin)
    _tell(run, found, compared, rows, as_)


@command(
    "gate",
    examples=(
        "pilothouse eval gate run-0001",
        "pilothouse eval gate main last --margin 0.01 --junit junit.xml",
        "pilothouse eval gate main --undecided fail",
    ),
    keys="data: as compare; outcome pass, fail or not_enough_data",
    exits=(0, 2, 3, 7),
    group=evals,
)
@click.argument("base")
@click.argument("candidate", default="last")
@suite_option
@click.option(
    "--margin", default=-1.0, metavar="SHARE", help="the loss of pass rate that is accepted  [suite.yaml's, 0.02]"
)
@click.option(
    "--undecided", type=click.Choice(["pass", "fail"]), default="pass", help="not enough data  [default: pass]"
)
@click.option("--junit", "junit_file", default="", metavar="FILE", help="write JUnit's XML")
@click.option("--rows", default=50, metavar="N", help="changed cases listed  [default: 50]")
@click.option("--as", "as_", type=click.Choice(["md"]), default=None, help="Markdown, for a pull request")
@click.pass_obj
def gate(
    run: Run,
    base: str,
    candidate: str,
    suite: str,
    margin: float,
    undecided: Literal["pass", "fail"],
    junit_file: str,
    rows: int,
    as_: str | None,
) -> int:
    """As compare, for continuous integration. Exit 7: a regression is proven, or a critical case regressed."""
    from pilothouse.evals import runs

    found = open_suite(suite)
    compared = compared_runs(found, base, candidate, margin)
    if junit_file:
        try:
            Path(junit_file).write_text(written_junit(found, runs.find(found.folder, compared.candidate)), "utf-8")
        except OSError as error:
            raise BadRequest(f"the file cannot be written: {error.strerror}", got=junit_file) from error
    _tell(run, found, compared, rows, as_)
    closed = compared.outcome == "fail" or (compared.outcome == "not_enough_data" and undecided == "fail")
    return GateFailed.exit_code if closed else 0


def written_junit(suite: Suite, made: EvalRun) -> str:
    """A run of a suite as JUnit's XML; what judges that may not gate said does not count."""
    from pilothouse.evals.report import junit
    from pilothouse.evals.settings import load_settings

    quarantined = {id: one.quarantined for id, one in suite.places().items() if one.quarantined}
    return junit(made, quarantined=quarantined, hearing=hearing_of(suite, load_settings(suite.folder), made))


def compared_runs(found: Suite, base: str, candidate: str, margin: float = -1.0) -> Comparison:
    """Two runs of a suite compared, by its own gate; ``margin``: another one than that of its file."""
    from pilothouse.evals.compare import compare as compare_runs
    from pilothouse.evals.settings import load_settings

    settings = load_settings(found.folder)
    gate = settings.gate
    quarantined = {id: one.quarantined for id, one in found.places().items() if one.quarantined}
    was, other = run_of(found, base), run_of(found, candidate)
    # A run that ended as soon as it was certain was looked at again and again: so is its verdict.
    early = str(other.summary.get("stopped", "")).startswith("it is certain")
    return compare_runs(
        was,
        other,
        hearing=hearing_of(found, settings, was, other),
        gate=replace(gate, margin=margin) if margin >= 0 else gate,
        quarantined=quarantined,
        looks="anytime" if early else "once",
    )


def hearing_of(suite: Suite, settings: SuiteSettings, *of: EvalRun) -> Hearing | None:
    """Which judges may gate, by people's labels; None where none was asked."""
    if not any(one.about.judges for one in of):
        return None
    from pilothouse.evals.judges.gating import hearing
    from pilothouse.evals.judges.settings import read_judges

    return hearing(suite.folder, read_judges(settings.judges, suite.folder), *of)


def judged_rates_of(suite: Suite, settings: SuiteSettings, made: EvalRun) -> list[dict[str, Any]]:
    """What each judge of a run says of it, raw and corrected."""
    if not made.about.judges:
        return []
    from pilothouse.evals.judges.calibration import judged_rates
    from pilothouse.evals.judges.settings import read_judges

    return judged_rates(made, suite.folder, read_judges(settings.judges, suite.folder))


def run_of(suite: Suite, name: str) -> EvalRun:
    """A run by its name, or the newest finished one of a version."""
    from pilothouse.evals import runs

    try:
        return runs.find(suite.folder, name)
    except NotFound:
        for one in runs.every(suite.folder):
            if one.about.version == name and one.summary and not one.about.backtest:
                return one
        raise


def _tell(run: Run, suite: Suite, compared: Comparison, rows: int, as_: str | None) -> None:
    from pilothouse.evals.report import comparison_data, comparison_markdown
    from pilothouse.evals.settings import load_settings

    if as_ == "md":
        run.output.text(comparison_markdown(compared, rows=rows), rows=True)
        return
    data = comparison_data(compared, rows=max(0, rows))
    settings = load_settings(suite.folder)
    data["judge_rates"] = {
        name: judged_rates_of(suite, settings, run_of(suite, name)) for name in (compared.base, compared.candidate)
    }
    where = f"--suite {suite.folder}"
    next_ = [f"pilothouse eval show {one['case']} {where}" for one in data["changes"][:2]]
    run.output.answer(data, human=comparison_lines, next=next_)


def comparison_lines(data: Mapping[str, Any]) -> Iterable[str]:
    """A comparison for people."""
    words = {"pass": "PASS", "fail": "FAIL", "not_enough_data": "NOT ENOUGH DATA"}
    yield f"{data['base']} → {data['candidate']}: {words[data['outcome']]}"
    yield from (f"  {clean(reason)}" for reason in data["reasons"])
    verdict = data["verdict"]
    yield f"  {verdict['test']}: p {verdict['p']:.4g}, mid-p {verdict['mid_p']:.4g}; accepted loss {verdict['margin']:.1%}"
    yield (
        "  " + ", ".join(f"{count:,} {name}" for name, count in data["counts"].items()) + f"; {data['total']:,} in all"
    )
    yield from (f"  {name}  {_judged(one)}" for name, rows in data["judge_rates"].items() for one in rows)
    if data["by_capability"]:
        keys = ("capability", "compared", "regressed", "improved", "p", "p_adjusted")
        rows = data["by_capability"]
        yield from table(
            keys, ([f"{row[key]:.3g}" if key[0] == "p" else str(row[key]) for key in keys] for row in rows)
        )
    for one in data["changes"]:
        tally = f"{one.get('before') or '–'} → {one.get('after') or '–'}"
        yield f"{one['bucket']}  {one['case']}  {tally}  {one_line(one.get('why', ''), 120)}"
    if data["changes_more"]:
        yield f"… {data['changes_more']:,} more: --rows {len(data['changes']) + data['changes_more']}"


@command(
    "flaky",
    examples=("pilothouse eval flaky", "pilothouse eval flaky --version v1", "pilothouse eval flaky --quarantine"),
    keys="data: cases[]: case passed attempts verdict passing failing quarantined; quarantined[]",
    exits=LOCAL,
    group=evals,
)
@suite_option
@click.option("--version", default="", metavar="NAME", help="attempts at this version only  [each version by itself]")
@click.option("--quarantine", is_flag=True, help="quarantine what is proven flaky, and say so in the case")
@click.option("--all", "all_", is_flag=True, help="also what is stable")
@click.pass_obj
def flaky(run: Run, suite: str, version: str, quarantine: bool, all_: bool) -> None:
    """Cases that fall out either way at the same version, by evidence: every attempt of every run counts."""
    from pilothouse.evals.flaky import evidence

    found = open_suite(suite)
    rows = [one for one in evidence(found, version=version) if all_ or one["verdict"] == "flaky" or one["mixed"]]
    changed: list[str] = []
    if quarantine:
        for row in rows:
            if row["verdict"] == "flaky" and not row["quarantined"]:
                quarantine_case(found, row)
                row["quarantined"] = True
                changed.append(row["case"])
    run.output.answer({"cases": rows, "quarantined": changed}, human=_flaky)


def quarantine_case(suite: Suite, row: Mapping[str, Any]) -> None:
    """Write into a case why its verdict does not count for now."""
    from pilothouse.evals.case_text import as_data, read_yaml

    place = suite.place(row["case"])
    data = as_data(read_yaml(suite.text(place.id), shown=place.file))
    data["quarantined"] = (
        f"flaky: {row['passed']} of {row['attempts']} attempts at {row['version'] or 'one version'} pass"
    )
    suite.add(data, overwrite=True)


def _flaky(data: Mapping[str, Any]) -> Iterable[str]:
    rows = data["cases"]
    if not rows:
        yield "no case falls out either way; with few attempts that says little: pilothouse eval run --repeats 10 --fresh"
        return
    keys = ("case", "version", "passed", "attempts", "verdict", "quarantined")
    yield from table(keys, ([str(row[key]) for key in keys] for row in rows))
    if data["quarantined"]:
        yield f"quarantined: {', '.join(data['quarantined'])}; they run and are reported, and decide nothing"
