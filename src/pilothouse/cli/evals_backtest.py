"""``eval backtest``: what was recorded in production, run again by a candidate or judged anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pilothouse.records import BadRequest, GateFailed, NotFound
from pilothouse.records import command as line

from .evals import suite_folder
from .evals_history import CUSTOMER_FIELDS, check_customer, select, take, terms_of
from .evals_run import Shown
from .root import Run
from .terminal import clean, one_line, table
from .traces import FilterCommand

if TYPE_CHECKING:
    from pilothouse.evals.backtests.judging import Asked
    from pilothouse.evals.backtests.question import Question
    from pilothouse.evals.backtests.selection import Selected
    from pilothouse.evals.recording import Recording
    from pilothouse.evals.runner import Options, Progress
    from pilothouse.evals.runs import Run as EvalRun
    from pilothouse.evals.settings import SuiteSettings

_SUITE = "evals/backtests"
_SAMPLE = 500
_FAILED = "it went wrong in production, so that it is no reference"


_HELP = """Run a candidate, or judges, over recorded sessions.

usage: pilothouse eval backtest [OPTIONS] [FILTER]...

  FILTER           as in ls: agent:a user:acme version:1.4
  --since --until  30d unless said
  --target T       the candidate: module:attribute or an address
  --judge A[,B]    of suite.yaml, a rubric, or module:function;
                   with no target they judge production
  --criterion      what a judge is asked
  --same WHAT      without a judge: tools, arguments, answer
  --unit WHAT      session, trace, decision
  --sample N       sessions taken, 500; 0: all; --seed N
  --even           each customer by its share
  --customer F     user agent env tag:P attr.K
  --least SHARE    with no target: what must pass
  --version NAME   of the candidate
  --whole --no-mask    keep system prompts, personal data
  --max-usd --parallel --early (stop when certain)
  --dry-run        say what would be taken
  --resume RUN     go on, or report again
  --as md  --junit FILE  --suite FOLDER

examples:
EXAMPLES
answer: data: KEYS
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 4 key missing, wrong or without the right, 5 the server does not answer, 7 a gate failed
"""


class _BacktestCommand(FilterCommand):
    """Its options do not fit on the page one to a line."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        examples = "".join(f"  {one}\n" for one in self.examples)
        formatter.write(_HELP.replace("EXAMPLES\n", f"{examples}\n").replace("data: KEYS", self.keys))


@click.command(
    "backtest",
    cls=_BacktestCommand,
    examples=(
        "pilothouse eval backtest agent:support --target my_agent:agent",
        "pilothouse eval backtest version:1.4 --judge old,new",
        "pilothouse eval backtest --resume last --as md --out report.md",
    ),
    keys="data: run base mode outcome reasons overall customers[] weeks[] releases[] why[] taken stopped",
    exits=(0, 2, 3, 4, 5, 7),
)
@click.argument("terms", nargs=-1, metavar="[FILTER]...")
@click.option("--since", default="30d", metavar="TIME", help="from: 24h, 30d or ISO 8601  [default: 30d]")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--target", default="", metavar="T", help="the candidate: module:attribute or an address  [suite.yaml's]")
@click.option("--judge", default="", metavar="A,B", help="judges of suite.yaml, rubrics, or module:function")
@click.option("--criterion", default="", metavar="TEXT", help="what a judge is asked")
@click.option("--sample", default=_SAMPLE, metavar="N", help=f"sessions that are taken  [default: {_SAMPLE}; 0: all]")
@click.option("--seed", default=1, metavar="N", help="of the sample  [default: 1]")
@click.option("--even", is_flag=True, help="each customer has its share of the sample")
@click.option("--customer", default="user", metavar="FIELD", help="what says whose a trace is  [default: user]")
@click.option(
    "--unit", type=click.Choice(("session", "trace", "decision")), default="session", help="what a case is of"
)
@click.option(
    "--same", type=click.Choice(("tools", "arguments", "answer")), default="arguments", help="what must be as it was"
)
@click.option("--whole", is_flag=True, help="keep recorded system prompts")
@click.option("--no-mask", is_flag=True, help="keep personal data and secrets")
@click.option("--version", default="", metavar="NAME", help="of the candidate  [the commit and what changed]")
@click.option("--least", default=0.0, metavar="SHARE", help="what must pass where production alone is judged")
@click.option("--max-usd", default=-1.0, metavar="USD", help="stop when so much is spent  [suite.yaml's]")
@click.option("--parallel", default=0, metavar="N", help="cases at once  [suite.yaml's, 8]")
@click.option("--early", is_flag=True, help="stop as soon as the verdict is certain")
@click.option("--dry-run", is_flag=True, help="only say what would be taken")
@click.option("--resume", default="", metavar="RUN", help="go on with a backtest, or report on it again")
@click.option("--suite", default="", metavar="FOLDER", help=f"where runs and judges stand  [this one, or {_SUITE}]")
@click.option("--junit", "junit_file", default="", metavar="FILE", help="write JUnit's XML")
@click.option("--as", "as_", type=click.Choice(["md"]), default=None, help="Markdown")
@click.pass_obj
def backtest(
    run: Run,
    terms: tuple[str, ...],
    since: str,
    until: str,
    target: str,
    judge: str,
    criterion: str,
    sample: int,
    seed: int,
    even: bool,
    customer: str,
    unit: Literal["session", "trace", "decision"],
    same: Literal["tools", "arguments", "answer"],
    whole: bool,
    no_mask: bool,
    version: str,
    least: float,
    max_usd: float,
    parallel: int,
    early: bool,
    dry_run: bool,
    resume: str,
    suite: str,
    junit_file: str,
    as_: str | None,
) -> int:
    """Run a candidate or judges over recorded sessions."""
    from pilothouse.evals import runs
    from pilothouse.evals.backtests import question as questions
    from pilothouse.evals.settings import load_settings

    folder = _folder(suite)
    settings = load_settings(folder)
    if parallel < 0 or parallel > 1_000:
        raise BadRequest("1 to 1,000 cases run at once", got=parallel, fix="--parallel 8")
    again: EvalRun | None = None
    if resume:
        again = runs.find(folder, resume, backtest=True)
        question = questions.read_question(again.about.backtest)
        question = replace(question, least=least or question.least)
    else:
        check_customer(customer)
        question = questions.Question(
            filter=terms_of(terms), since=since, until=until, unit=unit, customer=customer, sample=sample, seed=seed,
            by_customer=even, same=same, criterion=_criterion(criterion, judge), whole=whole, mask=not no_mask,
            target=target or ("" if judge else settings.target), judges=tuple(_names(judge)),
            least=least or settings.gate.least_pass,
        )  # fmt: skip
        if not dry_run:
            questions.check(question)
    if dry_run:
        if again is not None:
            raise BadRequest(
                "a run that was begun has chosen its sessions", got=resume, fix="--resume without --dry-run"
            )
        run.output.answer(_chosen(run, question)[1], human=_taken_lines)
        return 0
    options = settings.options
    options = replace(
        options, parallel=parallel or options.parallel, usd_max=max_usd if max_usd >= 0 else options.usd_max
    )
    data = _Backtest(run, folder, settings, question, options, early=early, version=version).go(again)
    _tell(run, data, folder, junit_file, as_)
    return GateFailed.exit_code if data["outcome"] == "fail" else 0


class _Backtest:
    """One call of the command, from the question to the report."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        settings: SuiteSettings,
        question: Question,
        options: Options,
        *,
        early: bool,
        version: str,
    ) -> None:
        from pilothouse.evals.backtests.judging import asked
        from pilothouse.evals.backtests.running import sides
        from pilothouse.evals.settings import scorer_finder
        from pilothouse.evals.targets.resolve import named, resolve
        from pilothouse.evals.version import code_version

        self._run, self._folder, self._settings, self._question = run, folder, settings, question
        self._options, self._early = options, early
        scorers = scorer_finder(folder, named)
        # Before anything is fetched: whether all of it is there.
        self._asked: list[Asked] = [asked(one, settings, folder, scorers) for one in question.judges]
        target = resolve(question.target, folder=Path.cwd()) if question.target else None
        code = version or settings.version or code_version(folder if folder.is_dir() else Path.cwd())
        self._base, self._candidate = sides(question, self._asked, target, code)

    def go(self, again: EvalRun | None) -> dict[str, Any]:
        """Choose, fetch, run, report."""
        from pilothouse.evals.backtests import running
        from pilothouse.evals.backtests.taking import Taking

        if again is None:
            rows, _, question = _choose(self._run, self._question)
            if not rows:
                raise NotFound(
                    "no session fits",
                    got=question.filter or f"since {question.since}",
                    fix="pilothouse ls --since 30d --limit 5",
                )
            self._folder.mkdir(parents=True, exist_ok=True)
            made = running.begin(self._folder, question, self._base, self._candidate, suite=self._folder.resolve().name)
            Taking(made.folder).choose(rows)
        else:
            made = self._same(again)
        return self._report(*self._runs(made))

    def _same(self, again: EvalRun) -> EvalRun:
        """The run, where what it asks is still asked of the same judges."""
        versions = dict(self._candidate.asked.versions) if self._candidate.asked is not None else {}
        if dict(again.about.judges) != versions:
            raise BadRequest(
                "the judges were changed since this run began", got=again.about.run, fix="begin a new backtest"
            )
        return again

    def _runs(self, made: EvalRun) -> tuple[EvalRun, EvalRun | None, Progress, dict[str, Any]]:
        from pilothouse.evals import runs
        from pilothouse.evals.backtests import running
        from pilothouse.evals.backtests.question import read_question
        from pilothouse.evals.backtests.taking import Taking
        from pilothouse.evals.runner import Progress
        from pilothouse.evals.suite import Suite

        question = self._question = read_question(made.about.backtest)
        taking = Taking(made.folder)
        fetched = take(self._run.client, taking, self._cases, customer=question.customer)
        cases = Suite(made.folder)
        made = runs.renew(made, replace(made.about, suite_version=cases.version()))
        base = running.base_of(self._folder, question)
        progress, options = Progress(), self._options
        if base is not None and self._base is not None:
            # What was done then is judged as often as it happened: once.
            progress = self._side(base, self._base, cases, replace(options, repeats=1))
            if options.usd_max and not progress.stopped:
                options = replace(options, usd_max=max(1e-9, options.usd_max - progress.cost_usd))
        if not progress.stopped:
            spent = progress.cost_usd
            progress = self._side(made, self._candidate, cases, options, against=base if self._early else None)
            progress.cost_usd += spent
        taken = taking.taken()
        about = {
            "sessions": len(taken),
            "fetched": fetched,
            "cases": sum(int(one["cases"]) for one in taken.values()),
            "left_out": taking.left_out()[:20],
        }
        return made, base, progress, about

    def _side(
        self, made: EvalRun, side: Any, cases: Any, options: Options, *, against: EvalRun | None = None
    ) -> Progress:
        from pilothouse.evals.backtests import running

        shown = Shown()
        try:
            return asyncio.run(
                running.run(
                    self._folder, made, side, cases, options, watch=shown.told, against=against,
                    gate=self._settings.gate,
                )
            )  # fmt: skip
        except KeyboardInterrupt:
            # What is known is on disk already.
            shown.progress.stopped = "interrupted"
            return shown.progress
        finally:
            shown.end()

    def _cases(self, selected: Selected, recording: Recording) -> list[dict[str, Any]]:
        from pilothouse.evals.backtests.cases import cases_of

        question = self._question
        if question.mode == "reference" and selected.status == "error":
            raise BadRequest(_FAILED, got=selected.id)
        if question.mask:
            from pilothouse.guards.mask import Numbered, masker

            recording = recording.changed(masker(("secrets", "personal"), placeholder=Numbered()).mask_data)
        return cases_of(recording, selected, question.making)

    def _report(
        self, made: EvalRun, base: EvalRun | None, progress: Progress, taken: Mapping[str, Any]
    ) -> dict[str, Any]:
        from pilothouse.evals.backtests.report import report, report_data
        from pilothouse.evals.backtests.running import traces_of
        from pilothouse.evals.judges.calibration import judged_rates
        from pilothouse.evals.judges.gating import hearing
        from pilothouse.evals.suite import Suite

        judges = {one.judge.name: one.judge for one in self._asked if one.judge is not None}
        every = [one for one in (made, base) if one is not None]
        found = report(
            made,
            base,
            mode=self._question.mode,
            gate=self._settings.gate,
            least=self._question.least,
            # A run that ended as soon as it was certain was looked at again and again: so is its verdict.
            looks="anytime" if progress.stopped.startswith("it is certain") else "once",
            hearing=hearing(self._folder, judges, *every) if judges else None,
            traces=traces_of(Suite(made.folder)),
        )
        data: dict[str, Any] = {
            "run": made.about.run,
            "base": base.about.run if base is not None else "",
            "target": made.about.target,
            "version": made.about.version,
            "question": self._question.as_data(),
            "taken": dict(taken),
            "stopped": progress.stopped,
            "cost_usd": round(progress.cost_usd, 6),
            **report_data(found),
            "judged": {one.about.run: judged_rates(one, self._folder, judges) for one in every} if judges else {},
        }
        if not progress.stopped:
            made.finish({**made.summary, "backtest": {name: data[name] for name in _KEPT}})
        return data


_KEPT = ("base", "mode", "outcome", "reasons", "overall", "verdict", "customers", "weeks", "releases", "why", "taken")


def _choose(run: Run, question: Question) -> tuple[list[Selected], dict[str, Any], Question]:
    from pilothouse.evals.backtests.selection import by_name, sample

    found = select(
        run.client, question.filter, question.since, question.until, unit=question.unit, customer=question.customer
    )
    if question.by_customer and question.customer.startswith(("attr.", "resource.")):
        raise BadRequest(
            "a sample by customer needs what a list of traces shows",
            got=question.customer,
            allowed=[one for one in CUSTOMER_FIELDS if "KEY" not in one],
            fix="--customer user",
        )
    rows = sample(found.rows, question.sample, seed=question.seed, by_customer=question.by_customer)
    about = {
        "traces": found.traces,
        "running": found.running,
        "sessions": len(found.rows),
        "taken": len(rows),
        "window": dict(found.window),
        "customers": by_name(one.customer for one in rows)[:50],
        "weeks": sorted(by_name(one.week for one in rows), key=lambda one: str(one["name"])),
        "releases": by_name(one.release for one in rows)[:50],
        "failed": sum(one.status == "error" for one in rows),
    }
    window = found.window
    question = replace(
        question,
        since=str(window.get("since") or question.since),
        until=str(window.get("until") or question.until),
    )
    return rows, about, question


def _chosen(run: Run, question: Question) -> tuple[list[Selected], dict[str, Any]]:
    rows, about, _ = _choose(run, question)
    return rows, about


def _folder(named: str) -> Path:
    """The suite that is named or here; else one for backtests alone."""
    try:
        return suite_folder(named)
    except NotFound:
        if named:
            raise
        return Path(_SUITE)


def _criterion(asked: str, judge: str) -> str:
    from pilothouse.evals.backtests.judging import CRITERION

    if asked and not judge:
        raise BadRequest("a criterion is asked of a judge", got=asked[:100], fix="--judge careful")
    return asked or (CRITERION if judge else "")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


# -- telling ---------------------------------------------------------------------------------------------------------


def _tell(run: Run, data: dict[str, Any], folder: Path, junit_file: str, as_: str | None) -> None:
    from pilothouse.evals import runs

    if junit_file:
        from pilothouse.evals.report import junit

        try:
            Path(junit_file).write_text(junit(runs.find(folder, data["run"])), "utf-8")
        except OSError as error:
            raise BadRequest(f"the file cannot be written: {error.strerror}", got=junit_file) from error
    if as_ == "md":
        from pilothouse.evals.backtests.markdown import backtest_markdown

        run.output.text(backtest_markdown(data), rows=True)
        return
    where = ["--suite", str(folder)]
    next_ = [
        line("eval", "from-trace", example["trace"], "--suite", str(folder))
        for group in data["why"][:1]
        for example in group["examples"][:1]
        if example["trace"]
    ]
    if data["stopped"]:
        next_.insert(0, line("eval", "backtest", "--resume", data["run"], *where))
    elif data["base"]:
        next_.insert(0, line("eval", "compare", data["base"], data["run"], *where))
    run.output.answer(data, human=_lines, next=[one for one in next_ if one])


_OUTCOMES = {"pass": "PASS", "fail": "FAIL", "not_enough_data": "NOT ENOUGH DATA"}
_MODES = {
    "reference": "the candidate held against what was done",
    "judged": "candidate and production, judged alike",
    "rate": "production, judged",
    "judges": "two judges of production",
}


def _lines(data: Mapping[str, Any]) -> Iterable[str]:
    taken = data["taken"]
    yield f"{data['run']}: {_OUTCOMES[data['outcome']]}  {_MODES[data['mode']]}"
    yield from (f"  {clean(reason)}" for reason in data["reasons"])
    yield f"  {_rate_line(data['overall'])}; {taken['cases']:,} cases of {taken['sessions']:,} sessions"
    if data["agreement"]:
        one = data["agreement"]
        kappa = "" if one["kappa"] is None else f", kappa {one['kappa']:.2f}"
        yield f"  the judges agree on {one['observed']:.1%}{kappa}; {one['stricter']:,} stricter, {one['milder']:,} milder"
    for one in taken["left_out"][:5]:
        yield f"  left out, {one['count']:,}: {clean(one['why'])}"
    if data["stopped"]:
        yield f"  stopped: {clean(data['stopped'])}"
    yield f"  {data['cost_usd']:.4f} USD"
    for title, rows in (("customer", data["customers"]), ("week", data["weeks"]), ("release", data["releases"])):
        if len(rows) > 1 or title == "customer":
            yield ""
            yield from _rates(title, rows)
    if data["customers_more"]:
        yield f"… {data['customers_more']:,} customers more: --as md, or the run's summary.json"
    if data["why"]:
        yield ""
        yield f"why {data['failures']:,} cases fail"
    for group in data["why"][:10]:
        about = " ".join(filter(None, (group["check"], group["tool"])))
        yield f"{group['cases']:>5,}  {group['share']:>6.1%}  {one_line(about, 60)}: {one_line(group['reason'], 120)}"
        told = ", ".join(one["trace"][:12] or one["case"] for one in group["examples"])
        yield f"               {one_line(told, 120)}"


def _rates(title: str, rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    listed = list(rows)
    beside, before = any("p" in one for one in listed), any("before" in one for one in listed)
    heads = [title, "cases", "pass", "95 %", *(["before"] if beside and before else [])]
    heads += ["diff", "p adj", "verdict"] if beside else []

    def cells(one: Mapping[str, Any]) -> list[str]:
        low, high = one["interval"]
        found = [one_line(str(one["name"]), 40), f"{one['cases']:,}", _share(one["rate"]), f"{low:.1%} to {high:.1%}"]
        found += [_share(one.get("before"))] if "before" in heads else []
        if beside:
            verdict = str(one.get("verdict", "")).replace("_", " ")
            found += [_points(one.get("difference")), f"{one.get('p_adjusted', 1):.3g}", verdict]
        return found

    yield from table(heads, (cells(one) for one in listed), right="cases pass before diff")


def _rate_line(one: Mapping[str, Any]) -> str:
    low, high = one["interval"]
    unscored = f", {one['unscored']:,} unscored" if one["unscored"] else ""
    return f"{one['passed']:,} of {one['cases']:,} pass, {_share(one['rate'])} (95 % interval {low:.1%} to {high:.1%}){unscored}"


def _share(value: Any) -> str:
    return "–" if value is None else f"{value:.1%}"


def _points(value: Any) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def _taken_lines(data: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"{data['traces']:,} traces fit, {data['sessions']:,} sessions; {data['taken']:,} are taken, {data['failed']:,} of"
        f" them failed; {data['running']:,} traces still run and are left out"
    )
    for title in ("customers", "weeks", "releases"):
        yield ""
        yield from table(
            [title, "sessions"],
            ([one_line(str(one["name"]), 60), f"{one['count']:,}"] for one in data[title]),
            right="sessions",
        )
