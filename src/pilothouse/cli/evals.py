"""``eval``: suites of cases. Works on a folder of files, where the command runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest, GateFailed, NotFound, PilothouseError

from .help import PlainGroup, command
from .overview import facts
from .root import Run
from .terminal import clean, one_line, table

if TYPE_CHECKING:
    from pilothouse.evals.suite import Place, Suite

LOCAL = (0, 2, 3)
VARIABLE = "PILOTHOUSE_SUITE"
_INPUT_BYTES_MAX = 64 << 20
_FILES_MAX = 50
"""Cases that are added at once as files of their own; more of them become lines of one."""
_SHOWN_BESIDE = ("file", "sha256", "last_result")


_HELP = """Suites of cases: write, run, compare, gate.

usage: pilothouse eval COMMAND

  init NAME       begin a suite: a folder of small YAML files
  list  show      the cases, also of 100,000; one of them
  add  replace    from a file: YAML, JSON, lines of JSON
  edit  rm        change parts; take away
  lint            what makes a suite say little
  from-trace ID   a recorded session or decision as a case
  minimise  replay   a case made small; a session decided again
  run  runs       run it, resume it; how it did
  compare  gate   two runs: pass, fail, not enough data
  flaky           what falls out either way, by evidence
  ci              the change against its base, gated: for any CI
MORE
examples:
  pilothouse eval init refunds --target my_agent:agent
  pilothouse eval run --repeats 3
  pilothouse eval gate main last --junit junit.xml

answer: data: as each command's --help says
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 7 a gate failed, 9 some items failed
"""


class _EvalGroup(PlainGroup):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = {word for line in _HELP.splitlines() if line.startswith("  ") for word in line[2:18].split()}
        rest = [name for name in self.list_commands(ctx) if name not in told]
        formatter.write(_HELP.replace("MORE", f"  also: {', '.join(rest)}\n" if rest else ""))


@click.group("eval", cls=_EvalGroup, help="Suites of cases: write, run, compare, gate.")
def evals() -> None:
    """Suites of cases: write, run, compare, gate."""


def suite_option(function: Any) -> Any:
    """``--suite``, as every command below takes it."""
    text = f"folder of the suite  [default: {VARIABLE}, this folder, or the only one in evals/]"
    return click.option("--suite", default="", metavar="FOLDER", help=text)(function)


def suite_folder(named: str) -> Path:
    """The folder of the suite that is meant.

    Raises:
        NotFound: none is named, and it is not clear which.
    """
    if named or os.environ.get(VARIABLE):
        folder = Path(named or os.environ[VARIABLE])
        if not folder.is_dir() and (Path("evals") / folder).is_dir():
            folder = Path("evals") / folder
        return folder
    here = Path()
    if (here / "suite.yaml").is_file() or (here / "cases").is_dir():
        return here
    found = sorted(one for one in (here / "evals").glob("*") if one.is_dir() and not one.name.startswith("."))
    if len(found) == 1:
        return found[0]
    raise NotFound(
        "which suite is not clear" if found else "there is no suite here",
        got=str(here.resolve().name),
        allowed=[str(one) for one in found] or None,
        fix="--suite FOLDER" if found else "pilothouse eval init NAME",
    )


def open_suite(named: str) -> Suite:
    """The suite that is meant, opened."""
    from pilothouse.evals.suite import Suite

    return Suite(suite_folder(named))


@command(
    "init",
    examples=(
        "pilothouse eval init refunds",
        "pilothouse eval init refunds --target my_agent:agent",
        "pilothouse eval init tests/evals/refunds --target http://127.0.0.1:8000/agent",
    ),
    keys="data: folder files[]",
    exits=LOCAL,
    group=evals,
)
@click.argument("name")
@click.option("--target", default="", metavar="T", help="module:attribute, or an address")
@click.pass_obj
def init(run: Run, name: str, target: str) -> None:
    """Begin a suite: evals/NAME with suite.yaml, a first case, and the schema for editors."""
    from pilothouse.evals.case_schema import case_schema
    from pilothouse.evals.first_case import FIRST_CASE, SUITE_TEXT

    folder = Path(name) if "/" in name else Path("evals") / name
    if (folder / "suite.yaml").exists() or (folder / "cases").exists():
        raise BadRequest("there is a suite already", got=str(folder), fix=f"pilothouse eval list --suite {folder}")
    try:
        (folder / "cases").mkdir(parents=True)
        (folder / "suite.yaml").write_text(SUITE_TEXT.replace("TARGET", target or "my_agent:agent"), "utf-8")
        (folder / "case.schema.json").write_text(json.dumps(case_schema(), indent=1) + "\n", "utf-8")
        (folder / "cases/first.yaml").write_text(FIRST_CASE, "utf-8")
    except OSError as error:
        raise BadRequest(f"the folder cannot be written: {error.strerror}", got=str(folder)) from error
    files = ["suite.yaml", "case.schema.json", "cases/first.yaml"]
    run.output.answer(
        {"folder": str(folder), "files": files},
        human=lambda data: [f"made {folder}:", *(f"  {one}" for one in files)],
        next=[f"pilothouse eval run --suite {folder}", f"pilothouse eval list --suite {folder}"],
    )


@command(
    "list",
    examples=(
        "pilothouse eval list",
        "pilothouse eval list --capability refunds --limit 20",
        "pilothouse eval list --broken --suite evals/refunds",
    ),
    keys="data: suite version total broken cases[]: id capability difficulty severity kind checks criteria quarantined file",
    exits=LOCAL,
    group=evals,
)
@suite_option
@click.option("--capability", default="", metavar="NAME", help="only these")
@click.option("--tag", default="", metavar="TAG", help="only these")
@click.option("--find", default="", metavar="TEXT", help="whose file has this text")
@click.option("--broken", is_flag=True, help="files that are no cases, and why")
@click.option("--after", default="", metavar="ID", help="from behind this case on")
@click.option("--limit", default=50, metavar="N", help="at most so many  [default: 50]")
@click.pass_obj
def list_(run: Run, suite: str, capability: str, tag: str, find: str, broken: bool, after: str, limit: int) -> None:
    """List the cases of a suite, also of 100,000."""
    found = open_suite(suite)
    places = found.broken() if broken else list(found.places().values())
    rows = [one for one in places if _fits(found, one, capability, tag, find) and one.id > after]
    shown = rows[: max(1, limit)]
    data = {
        "suite": found.name,
        "version": found.version(),
        "total": len(found.places()),
        "broken": len(found.broken()),
        "matching": len(rows),
        "cases": [_row(one) for one in shown],
    }
    more = [f"pilothouse eval list --suite {found.folder} --after {shown[-1].id}"] if len(rows) > len(shown) else []
    if found.broken() and not broken:
        more.append(f"pilothouse eval list --suite {found.folder} --broken")
    run.output.answer(data, human=_listed, next=more)


def _fits(suite: Suite, place: Place, capability: str, tag: str, find: str) -> bool:
    if capability and place.capability != capability:
        return False
    if tag and tag not in place.tags:
        return False
    return not find or find.casefold() in suite.text(place.id).casefold()


def _row(place: Place) -> dict[str, Any]:
    row = {name: value for name, value in place._asdict().items() if value not in ("", 0, [], ()) and name != "sha256"}
    row.pop("offset", None)
    row.pop("length", None)
    return row


def _listed(data: Mapping[str, Any]) -> Iterable[str]:
    broken = f", {data['broken']} that are none (--broken)" if data["broken"] else ""
    yield f"{clean(data['suite'])} {data['version']}: {data['total']:,} cases{broken}"
    rows = data["cases"]
    if not rows:
        yield "no case fits" if data["total"] else "no cases yet: pilothouse eval add FILE"
        return
    if any("error" in row for row in rows):
        yield from (f"{row['file']}: {clean(row.get('error', ''))}" for row in rows)
        return
    keys = ("id", "capability", "difficulty", "severity", "kind", "checks", "criteria")
    yield from table(keys, ([one_line(str(row.get(key, "")), 60) for key in keys] for row in rows))


@command(
    "show",
    examples=(
        "pilothouse eval show late-refund",
        "pilothouse eval show late-refund --fields checks",
        "pilothouse eval show late-refund --whole --suite evals/refunds",
    ),
    keys="data: the case as it is written; file sha256 last_result",
    exits=LOCAL,
    group=evals,
)
@click.argument("case")
@suite_option
@click.option("--whole", is_flag=True, help="with the content of its payload files")
@click.pass_obj
def show(run: Run, case: str, suite: str, whole: bool) -> None:
    """Show one case, and how it did when it last ran."""
    from pilothouse.evals import runs
    from pilothouse.evals.case_text import as_data, as_yaml, read_yaml

    found = open_suite(suite)
    place = found.place(case)
    read = found.case(place.id) if whole else read_yaml(found.text(place.id), shown=place.file)
    data = as_data(read)
    last: dict[str, Any] = {}
    for one in runs.every(found.folder)[:20]:
        results = [result for result in one.results() if result.case == place.id]
        if results:
            why = next((result.why for result in results if result.why), "")
            last = {"run": one.about.run, "outcomes": [result.outcome for result in results], "why": why}
            break
    about = {"file": place.file, "sha256": place.sha256, "last_result": last}
    run.output.answer(
        {**data, **about},
        human=lambda _: [
            *as_yaml(data).splitlines(),
            "",
            *facts({key: str(value) for key, value in about.items() if value}),
        ],
    )


@command(
    "add",
    examples=(
        "pilothouse eval add case.yaml",
        "pilothouse eval add cases.jsonl",
        "pilothouse eval add case.yaml --suite evals/refunds",
    ),
    keys="data: added[] total; errors[]: at message got",
    exits=(0, 2, 3, 9),
    group=evals,
)
@click.argument("file")
@suite_option
@click.pass_obj
def add(run: Run, file: str, suite: str) -> int:
    """Add a case from a file or - for standard input: YAML, JSON, or JSON lines for many. All is checked first."""
    return _write(run, file, suite, overwrite=False)


@command(
    "replace",
    examples=(
        "pilothouse eval replace late-refund case.yaml",
        "pilothouse eval replace late-refund -",
        "pilothouse eval replace late-refund case.json --suite evals/refunds",
    ),
    keys="data: added[] total; errors[]",
    exits=(0, 2, 3, 9),
    group=evals,
)
@click.argument("case")
@click.argument("file")
@suite_option
@click.pass_obj
def replace(run: Run, case: str, file: str, suite: str) -> int:
    """Put another text in the place of a case."""
    return _write(run, file, suite, overwrite=True, id=open_suite(suite).place(case).id)


def _write(run: Run, file: str, suite: str, *, overwrite: bool, id: str = "") -> int:
    found = open_suite(suite)
    # What `show` adds is no part of a case.
    rows = [{key: value for key, value in one.items() if key not in _SHOWN_BESIDE} for one in _cases_in(file)]
    added: list[str] = []
    errors: list[dict[str, Any]] = []
    good: list[dict[str, Any]] = []
    taken: set[str] = set()
    for number, row in enumerate(rows, start=1):
        try:
            if len(rows) > _FILES_MAX:
                taken.add(_new_id(found, row, taken))
                good.append(row)
                added.append(str(row["id"]))
            else:
                added.append(found.add({**row, "id": id or row.get("id", "")}, overwrite=overwrite).id)
        except PilothouseError as error:
            errors.append({"at": number, "message": error.message, "got": error.got, "fix": error.fix})
    if good:
        found.add_lines(good)
    if errors and not added:
        first = errors[0]
        raise BadRequest(first["message"], got=first["got"], fix=first["fix"])
    run.output.answer(
        {"added": added, "total": len(found.places()), "errors": errors},
        human=lambda data: [
            f"wrote {len(added)} of {len(added) + len(errors)}: {', '.join(added[:10])}{' …' if len(added) > 10 else ''}",
            *(f"not number {one['at']}: {clean(one['message'])} (got {one['got']})" for one in errors[:20]),
        ],
        next=[f"pilothouse eval run {added[0]} --suite {found.folder}"],
    )
    return 9 if errors else 0


def _new_id(suite: Suite, row: Mapping[str, Any], taken: Collection[str]) -> str:
    """The id of a case that is to be added with many others, once it is known to be good and new."""
    from pilothouse.evals import payloads
    from pilothouse.evals.case_text import read_case

    id = read_case(row, load=payloads.loader(suite.folder)).id
    if id in suite.places() or id in taken:
        raise BadRequest("there is a case with this id", got=id, fix=f"pilothouse eval replace {id}")
    return id


def _cases_in(file: str) -> list[Mapping[str, Any]]:
    from pilothouse.evals.plain import list_of, mapping_of
    from pilothouse.records.plain_yaml import plain_yaml

    text = read_text(file)
    if _is_lines(text):
        found: list[Any] = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except ValueError as error:
                    raise BadRequest("a line is no JSON", got=f"line {number}: {line[:80]}") from error
    else:
        data = plain_yaml(text, file)
        if (inner := mapping_of(data)) is not None and mapping_of(inner.get("data")) is not None:
            # An answer of `show --json`, given back.
            data = inner["data"]
        found = list_of(data) or [data]
    rows = [row for one in found if (row := mapping_of(one)) is not None]
    if len(rows) != len(found) or not rows:
        raise BadRequest("a case is a mapping of names to values", got=file, fix="pilothouse docs evals")
    return rows


def _is_lines(text: str) -> bool:
    """Whether each line is a case by itself, as JSON."""
    first, _, rest = text.lstrip().partition("\n")
    try:
        return first.startswith("{") and bool(rest.strip()) and isinstance(json.loads(first), dict)
    except ValueError:
        return False


def read_text(file: str) -> str:
    """The text of a file, or of standard input where it is called ``-``."""
    try:
        body = sys.stdin.buffer.read(_INPUT_BYTES_MAX + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise NotFound(f"the file cannot be read: {error.strerror}", got=file) from error
    if len(body) > _INPUT_BYTES_MAX:
        raise BadRequest(
            f"the file is larger than {_INPUT_BYTES_MAX >> 20} MB", got=file, fix="put it into cases/ as .jsonl"
        )
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("the file is no UTF-8", got=file) from error


@command(
    "edit",
    examples=(
        "pilothouse eval edit late-refund --set metadata.difficulty=hard",
        "pilothouse eval edit late-refund --set 'checks[0].arguments.amount=5' --set repeats=5",
        "pilothouse eval edit late-refund --set 'quarantined=flaky since the move' --unset metadata.tags",
    ),
    keys="data: the case as it is now; before: the values that were there",
    exits=LOCAL,
    group=evals,
)
@click.argument("case")
@suite_option
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="JSON where it is some, else text; repeatable")
@click.option("--unset", "unsets", multiple=True, metavar="PATH", help="take it away; repeatable")
@click.pass_obj
def edit(run: Run, case: str, suite: str, sets: tuple[str, ...], unsets: tuple[str, ...]) -> None:
    """Change parts of a case."""
    from pilothouse.evals.case_text import as_data, as_yaml, read_yaml
    from pilothouse.evals.editing import put, take

    if not sets and not unsets:
        raise BadRequest(
            "nothing is to be changed", fix="--set PATH=VALUE, or change the file: pilothouse eval show CASE"
        )
    found = open_suite(suite)
    place = found.place(case)
    data = as_data(read_yaml(found.text(place.id), shown=place.file))
    before: dict[str, Any] = {}
    for one in sets:
        path, sign, value = one.partition("=")
        if not sign:
            raise BadRequest("--set takes PATH=VALUE", got=one)
        before[path] = put(data, path, _value(value))
    for path in unsets:
        before[path] = take(data, path)
    if data.get("id") != place.id:
        raise BadRequest("a case keeps its id", got=data.get("id"), fix="pilothouse eval add it under another, then rm")
    found.add(data, overwrite=True)
    run.output.answer({**data, "before": before}, human=lambda _: as_yaml(data).splitlines())


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@command(
    "rm",
    examples=(
        "pilothouse eval rm late-refund",
        "pilothouse eval rm late-refund --out late-refund.yaml --human",
        "pilothouse eval rm late-refund --suite evals/refunds",
    ),
    keys="data: removed text",
    exits=LOCAL,
    group=evals,
)
@click.argument("case")
@suite_option
@click.pass_obj
def rm(run: Run, case: str, suite: str) -> None:
    """Take a case away. Its text is the answer: pilothouse eval add - puts it back."""
    found = open_suite(suite)
    id = found.place(case).id
    text = found.remove(id)
    run.output.answer({"removed": id, "text": text}, human=lambda _: text.splitlines())


@command(
    "lint",
    examples=(
        "pilothouse eval lint",
        "pilothouse eval lint --suite evals/refunds --fields findings",
        "pilothouse eval lint --human",
    ),
    keys="data: cases findings[]: rule severity message cases[] fix; ok",
    exits=(0, 2, 3, 7),
    group=evals,
)
@suite_option
@click.pass_obj
def lint(run: Run, suite: str) -> int:
    """What makes a suite say less than it seems to: too easy, duplicates, no edge cases, leaked answers, broken files."""
    from pilothouse.evals.lint import lint as look

    found = open_suite(suite)
    findings = look(found)
    data = {
        "cases": len(found.places()),
        "ok": not any(one.severity == "error" for one in findings),
        "findings": [
            {
                "rule": one.rule,
                "severity": one.severity,
                "message": one.message,
                "cases": list(one.cases),
                "fix": one.fix,
            }
            for one in findings
        ],
    }
    run.output.answer(data, human=_findings)
    return 0 if data["ok"] else GateFailed.exit_code


def _findings(data: Mapping[str, Any]) -> Iterable[str]:
    if not data["findings"]:
        yield f"{data['cases']:,} cases, nothing to complain of"
    for one in data["findings"]:
        yield f"{one['severity']}  {one['rule']}: {clean(one['message'])}"
        if one["cases"]:
            yield f"    {', '.join(one['cases'][:8])}{' …' if len(one['cases']) > 8 else ''}"
        if one["fix"]:
            yield f"    {clean(one['fix'])}"
