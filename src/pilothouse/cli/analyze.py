"""``analyze``: a playbook asked of every trace of an export. Works on files, where the command runs."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest, DiskFull, GateFailed, NotFound, SystemClock

from .analyze_server import is_server_run, list_on_server, new_on_server, report_on_server, status_on_server
from .help import PlainGroup, command
from .options import page
from .overview import facts
from .root import Run

if TYPE_CHECKING:
    from pilothouse.analysis.drive import Drive
    from pilothouse.analysis.state import RunState

_LOCAL = (0, 2, 3)
_SHOWN_MAX = 40


@click.group("analyze", cls=PlainGroup, help="Ask a playbook of every trace of an export: files in, report out.")
def analyze() -> None:
    """Ask a playbook of every trace of an export: files in, report out."""


@command(
    "new",
    examples=(
        "pilothouse analyze new triage errors",
        "pilothouse analyze new triage errors --by user_id --where \"agent = 'shop'\"",
        "pilothouse analyze new tool-errors errors --worker 'claude -p' --sample 50",
    ),
    keys="data: run folder items second_readings worker profile",
    exits=_LOCAL,
    group=analyze,
)
@click.argument("playbook")
@click.argument("export", type=click.Path(file_okay=False))
@click.option("--worker", default="", metavar="W", help="builtin, agent:MODEL or a command line  [playbook's]")
@click.option("--second", default="", metavar="W", help="second reader  [default: as --worker]")
@click.option("--sample", default=0, metavar="N", help="so many items, at random")
@click.option("--seed", default=7, metavar="S", help="of every draw  [default: 7]")
@click.option("--where", default="", metavar="SQL", help="over the table traces of index.db")
@click.option("--by", default="", metavar="FIELD", help="break down: user_id, session_id, agent, …")
@click.option("--dry-run", is_flag=True, help="say what it would be")
@click.option("--server", is_flag=True, help="on the server: EXPORT is a filter, as ls takes it")
@click.option("--since", default="", metavar="TIME", help="with --server: from when  [default: 7d]")
@click.pass_obj
def new(
    run: Run,
    playbook: str,
    export: str,
    worker: str,
    second: str,
    sample: int,
    seed: int,
    where: str,
    by: str,
    dry_run: bool,
    server: bool,
    since: str,
) -> None:
    """Freeze what a run reads: triage, tool-errors, quality-review or a folder with SKILL.md, asked of an export."""
    if server:
        if second or where or dry_run:
            raise BadRequest("--second, --where and --dry-run are for exports on disk", fix="leave out --server")
        asked = {"playbook": playbook, "filter": export, "worker": worker, "sample": max(0, sample), "seed": seed}
        new_on_server(run, {**asked, "by": by, **({"since": since} if since else {})})
        return
    from pilothouse.analysis.export import Export
    from pilothouse.analysis.plan import begin, plan
    from pilothouse.analysis.playbook import load_playbook
    from pilothouse.analysis.profile import profile, write_profile
    from pilothouse.analysis.state import Inputs, run_state, write_plan
    from pilothouse.analysis.worker import worker_for

    book = load_playbook(playbook)
    place = Export(Path(export))
    planned = plan(
        place, book, worker=worker, second_worker=second, sample=max(0, sample), seed=seed, where=where, by=by
    )
    for name in {planned.worker, planned.second_worker}:
        # Better to know now than at the first item.
        worker_for(name).stop()
    profiled = profile(place, planned)
    data: dict[str, Any] = {
        "run": planned.id,
        "folder": str(place.path / "analysis" / planned.id),
        "items": len(planned.items),
        "second_readings": sum(item.again for item in planned.items),
        "worker": planned.worker,
        "second_worker": planned.second_worker,
        "limits": list(planned.limits),
        "profile": profiled,
    }
    following = [f"pilothouse analyze run {data['folder']}", f"pilothouse analyze next {data['folder']}"]
    if not dry_run:
        folder = begin(place, planned)
        write_profile(folder, profiled)
        write_plan(folder, planned, run_state(folder, planned, Inputs(place, planned), SystemClock()))
    else:
        following = following[:0]
    run.output.answer(data, human=_new_lines, next=following)


@command(
    "run",
    examples=(
        "pilothouse analyze run errors",
        "pilothouse analyze run errors --concurrency 5 --max-usd 2",
        "pilothouse analyze run errors/analysis/triage-1a2b3c4d --retry",
    ),
    keys="data: run status counts tokens usd blocked report",
    exits=(0, 2, 3, 9),
    group=analyze,
)
@click.argument("where", metavar="RUN", type=click.Path(file_okay=False))
@click.option("--concurrency", default=0, metavar="N", help="workers side by side  [playbook's, 25]")
@click.option("--max-tokens", default=0, metavar="N", help="begin nothing beyond it  [playbook's]")
@click.option("--max-usd", default=0.0, metavar="X", help="begin nothing beyond it, as far as costs are known")
@click.option("--retry", is_flag=True, help="try blocked items once more")
@click.pass_obj
def work(run: Run, where: str, concurrency: int, max_tokens: int, max_usd: float, retry: bool) -> int:
    """Read every open item, then write the report. Killed, it goes on. RUN: a run's folder, or an export's (the newest)."""
    from pilothouse.analysis.drive import Drive
    from pilothouse.analysis.run_record import find_run

    folder = find_run(Path(where))
    if not 0 <= concurrency <= 200:
        raise BadRequest("--concurrency is a number of workers", got=concurrency, allowed="1 to 200")
    drive = Drive(
        folder,
        concurrency=concurrency,
        max_tokens=max_tokens,
        max_usd=max_usd,
        retry=retry,
        heard=_progress(),
    )
    try:
        with _stopped_by_signals(drive):
            driven = drive.go()
    except OSError as error:
        raise DiskFull(
            f"the run cannot be written: {error.strerror or error}",
            got=str(folder),
            fix=f"more space, then: pilothouse analyze run {folder}",
        ) from error
    finally:
        _clear_progress()
    data: dict[str, Any] = {"run": drive.run.id, "folder": str(folder), **_facts(driven.state), "blocked": driven.blocked}  # fmt: skip
    if driven.state.open:
        data["open"] = _open(driven.state)
        following = [driven.fix] if driven.fix else [f"pilothouse analyze status {folder}"]
        if not driven.blocked and not driven.stopped:
            following = [f"pilothouse analyze run {folder} --retry", f"pilothouse analyze finish {folder} --partial"]
        elif driven.stopped:
            following = [f"pilothouse analyze run {folder}"]
        run.output.answer(data, human=facts, next=following)
        return 9
    data |= _merged(folder)
    run.output.answer(data, human=facts, next=[f"pilothouse analyze report {folder}"])
    return 0


@command(
    "status",
    examples=(
        "pilothouse analyze status errors",
        "pilothouse analyze status errors/analysis/triage-1a2b3c4d",
        "pilothouse analyze status errors --fields status,counts",
    ),
    keys="data: run status counts tokens usd open[]",
    exits=_LOCAL,
    group=analyze,
)
@click.argument("where", metavar="RUN", type=click.Path(file_okay=False))
@click.pass_obj
def status(run: Run, where: str) -> None:
    """How far a run is, on disk or on the server: pending, in_progress, blocked, done; tokens and money; what is open and why."""
    if is_server_run(where):
        status_on_server(run, where)
        return
    folder, record, state = _look(where)
    from pilothouse.analysis.state import write_plan

    write_plan(folder, record, state)
    data: dict[str, Any] = {"run": record.id, "folder": str(folder), **_facts(state), "open": _open(state)}
    following = [f"pilothouse analyze run {folder}"] if state.open else [f"pilothouse analyze report {folder}"]
    run.output.answer(data, human=facts, next=following)


@command(
    "next",
    examples=(
        "pilothouse analyze next errors",
        "pilothouse analyze next errors --minutes 60 --human",
        "pilothouse analyze next errors --give-back ab12cd34",
    ),
    keys="data: item answer_file until prompt left collected[]: item accepted wrong",
    exits=_LOCAL,
    group=analyze,
)
@click.argument("where", metavar="RUN", type=click.Path(file_okay=False))
@click.option("--minutes", default=30.0, metavar="N", help="how long it is yours  [default: 30]")
@click.option("--give-back", default="", metavar="ITEM", help="return an item you cannot do")
@click.pass_obj
def next_item(run: Run, where: str, minutes: float, give_back: str) -> None:
    """Take an item to read yourself, and where to write the answer; written ones are checked and taken in on the way."""
    from pilothouse.analysis import handed

    folder, record, state = _look(where)
    if not 0 < minutes <= 1440:
        raise BadRequest("--minutes is a number of minutes", got=minutes, allowed="up to 1440")
    from pilothouse.analysis.state import Inputs, run_state

    inputs = Inputs(_export(folder), record)
    if give_back:
        job = next((one.job for one in state.jobs if one.job.item.id.startswith(give_back) and one.status == "in_progress"), None)  # fmt: skip
        if job is None:
            raise NotFound("no such item is in work", got=give_back, fix=f"pilothouse analyze status {folder}")
        handed.give_back(folder, job, "given back", clock=SystemClock())
    collected = handed.collect(folder, record, inputs, clock=SystemClock())
    state = run_state(folder, record, inputs, SystemClock())
    found = handed.hand_out(folder, record, inputs, state, clock=SystemClock(), seconds=minutes * 60)
    data: dict[str, Any] = {
        "item": found.job.item.id if found else None,
        "reader": found.job.reader if found else None,
        "answer_file": str(found.answer_file) if found else None,
        "until": found.until if found else None,
        "left": len(state.open),
        "collected": [
            {
                "item": one.job.item.id,
                "accepted": one.accepted,
                "wrong": list(one.wrong),
                "answer_file": one.answer_file,
            }
            for one in collected
        ],
        "prompt_file": str(found.answer_file.with_name("prompt.md")) if found else None,
        "prompt": found.prompt if found else None,
    }
    following = [f"pilothouse analyze next {folder}"] if found else [f"pilothouse analyze finish {folder}"]
    run.output.answer(data, human=_next_lines, next=following)


@command(
    "finish",
    examples=(
        "pilothouse analyze finish errors",
        "pilothouse analyze finish errors --partial",
        "pilothouse analyze finish errors/analysis/triage-1a2b3c4d",
    ),
    keys="data: run status counts report findings",
    exits=(0, 2, 3, 7, 9),
    group=analyze,
)
@click.argument("where", metavar="RUN", type=click.Path(file_okay=False))
@click.option("--partial", is_flag=True, help="without the open items; the report says so")
@click.pass_obj
def finish(run: Run, where: str, partial: bool) -> int:
    """Write cohorts, findings and the report. Refuses while items are open, and lists them."""
    from pilothouse.analysis import handed
    from pilothouse.analysis.state import Inputs, run_state

    folder, record, state = _look(where)
    inputs = Inputs(_export(folder), record)
    collected = handed.collect(folder, record, inputs, clock=SystemClock())
    if collected:
        state = run_state(folder, record, inputs, SystemClock())
    if state.open and not partial:
        wrong = [f"{one.job.item.id}: {'; '.join(one.wrong)}" for one in collected if not one.accepted]
        raise GateFailed(
            f"{len(state.open):,} of {len(state.jobs):,} readings are open",
            got=wrong
            or [
                f"{one['item']} {one['reader']} {one['status']} {one['why']}".strip()
                if "item" in one
                else f"and {one['more']:,} more"
                for one in _open(state)
            ],
            allowed="none open, or --partial",
            fix=f"pilothouse analyze run {folder}",
        )
    data = {"run": record.id, "folder": str(folder), **_facts(state), **_merged(folder)}
    run.output.answer(data, human=facts, next=[f"pilothouse analyze report {folder}"])
    return 9 if state.open else 0


@command(
    "ls",
    examples=(
        "pilothouse analyze ls",
        "pilothouse analyze ls --state running",
        "pilothouse analyze ls --fields analysis_id,state",
    ),
    keys="data[]: analysis_id state created ended attempts ask progress (phase items readings done) error",
    group=analyze,
)
@click.option("--state", default="", metavar="STATE", help="queued running held succeeded failed cancelled")
@page(20)
@click.pass_obj
def ls(run: Run, state: str, limit: int, cursor: str) -> None:
    """List the analyses that run on the server, newest first."""
    list_on_server(run, state=state, limit=limit, cursor=cursor)


@command(
    "report",
    examples=(
        "pilothouse analyze report errors",
        "pilothouse analyze report errors --findings",
        "pilothouse analyze report errors --findings --fields id,title,items",
    ),
    keys="the report as Markdown; --findings: data[]: id mode mark severity title items of interval claim evidence",
    exits=_LOCAL,
    group=analyze,
)
@click.argument("where", metavar="RUN", type=click.Path(file_okay=False))
@click.option("--findings", is_flag=True, help="as data: findings.jsonl")
@click.pass_obj
def show_report(run: Run, where: str, findings: bool) -> None:
    """Print the report of a finished run, on disk or on the server: findings, evidence, limits."""
    if is_server_run(where):
        report_on_server(run, where, data=findings)
        return
    from pilothouse.analysis.export import lines_of
    from pilothouse.analysis.run_record import find_run

    folder = find_run(Path(where))
    path = folder / "report.md"
    if not path.is_file():
        raise NotFound("the run has no report yet", got=str(folder), fix=f"pilothouse analyze finish {folder}")
    if findings or run.settings.json_asked:
        rows = [row for _, row in lines_of(folder / "findings.jsonl")]
        brief = () if run.settings.fields else _FINDING_FIELDS
        run.output.answer(rows, human=_finding_lines, brief=brief, next=[f"pilothouse analyze report {folder} --findings --fields id,claim.sql"])  # fmt: skip
        return
    run.output.text(path.read_text("utf-8"), rows=True)


_FINDING_FIELDS = ("id", "mode", "mark", "severity", "title", "items", "of", "interval", "root_cause", "evidence")


def _finding_lines(rows: list[dict[str, Any]]) -> Iterable[str]:
    for row in rows:
        yield f"{row['id']} {row['severity']} {row['mode']} {row['mark']} {row['items']} of {row['of']}: {row['title']}"


def _look(where: str) -> tuple[Path, Any, RunState]:
    from pilothouse.analysis.run_record import find_run, read_run
    from pilothouse.analysis.state import Inputs, run_state

    folder = find_run(Path(where))
    record = read_run(folder)
    return folder, record, run_state(folder, record, Inputs(_export(folder), record), SystemClock())


def _export(folder: Path) -> Any:
    from pilothouse.analysis.export import Export
    from pilothouse.analysis.run_record import export_of

    return Export(export_of(folder))


def _merged(folder: Path) -> dict[str, Any]:
    from pilothouse.analysis.merge import merge

    merged = merge(folder)
    return {
        "report": str(merged.report),
        "findings": merged.findings,
        "not_confirmed": merged.dropped,
        "in_fewer_than_three_items": merged.small,
    }


def _facts(state: RunState) -> dict[str, Any]:
    open_states = {one.status for one in state.open}
    status = "done"
    if open_states:
        status = "blocked" if open_states == {"blocked"} else "in_progress" if "in_progress" in open_states else "pending"  # fmt: skip
    return {
        "status": status,
        "counts": dict(state.counts),
        "tokens": state.tokens,
        "usd": round(state.usd, 6),
        "readings_of_unknown_cost": state.unknown_costs,
    }


def _open(state: RunState) -> list[dict[str, Any]]:
    rows = [
        {
            "item": one.job.item.id,
            "reader": one.job.reader,
            "status": one.status,
            "attempts": one.attempts,
            "why": one.why,
        }
        for one in state.open
    ]
    return rows[:_SHOWN_MAX] + ([{"more": len(rows) - _SHOWN_MAX}] if len(rows) > _SHOWN_MAX else [])


def _new_lines(data: dict[str, Any]) -> Iterable[str]:
    shown = data["profile"]
    yield f"{data['run']}: {data['items']:,} items, {data['second_readings']:,} read twice, by {data['worker']}"
    failing = shown["failing"]
    yield f"failing: {failing['traces_by_status']:,} by status, {failing['traces_by_body_only']:,} by body alone"
    yield f"inputs: {shown['inputs']['distinct']:,} distinct, {shown['inputs']['canned_share']:.0%} canned"
    yield from (f"limit: {limit}" for limit in data["limits"])


def _next_lines(data: dict[str, Any]) -> Iterable[str]:
    for one in data["collected"]:
        yield f"{one['item']}: " + ("taken in" if one["accepted"] else "not accepted: " + "; ".join(one["wrong"]))
    if data["item"] is None:
        yield f"nothing to hand out; {data['left']:,} readings are open"
        return
    yield f"item {data['item']} is yours until {data['until']}; {data['left']:,} readings are open"
    yield f"answer: {data['answer_file']}"
    yield ""
    yield from str(data["prompt"]).split("\n")


def _progress() -> Any:
    terminal = sys.stderr.isatty()

    def show(state: RunState) -> None:
        if not terminal:
            return
        done, every = state.counts["done"], len(state.jobs)
        bar = "#" * round(done / max(every, 1) * 30)
        sys.stderr.write(f"\r[{bar:<30}] {done:,} of {every:,} readings, {state.counts['in_progress']} in work ")
        sys.stderr.flush()

    return show


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


@contextlib.contextmanager
def _stopped_by_signals(drive: Drive) -> Generator[None]:
    """The first Ctrl-C ends what is read and gives it back; the second ends the process."""
    before: dict[int, Any] = {}

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, before[number])
        drive.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
