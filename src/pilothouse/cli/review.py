"""``review``: rules in natural language, held against a change. Works where the command runs; asks a configured model."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pilothouse.records import BadRequest, GateFailed

from .help import PlainGroup, command
from .root import Run
from .terminal import clean, one_line, table

_HELP = """Rules in natural language, held against a change of prompts, tools, models and roles.

usage: pilothouse review DIFF [--strict] [--as md|github]
       pilothouse review init|rules|lint

  DIFF   a file, - for standard input, or a range of commits: main...HEAD
  init   begin: .pilothouse/rules with a few good rules, .pilothouse/review.yaml
  rules  list the rules, and which are about a path
  lint   what is wrong with the rules, before a model is asked

Without a configured model nothing is asked, nothing is blocked, and it says so.

examples:
  pilothouse review init
  pilothouse review main...HEAD --strict
  pilothouse review change.diff --as md

answer: data: outcome findings[] unreviewed[] dropped; pilothouse review diff --help says more
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 7 a gate failed
"""
_EXITS = (0, 2, 3, 7)


class _ReviewGroup(PlainGroup):
    """``review DIFF`` is short for ``review diff DIFF``."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        return super().resolve_command(ctx, args if args and args[0] in known else ["diff", *args])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Options may stand before the diff: `review --strict main...HEAD`, and `-` is no option.
        short = args and args[0] not in (*self.list_commands(ctx), "--help") and args[0].startswith("-")
        return super().parse_args(ctx, ["diff", *args] if short else args)


review = _ReviewGroup("review", no_args_is_help=True, help="Rules in natural language, held against a change.")


def _rules_option(function: Any) -> Any:
    text = "folder of the rules  [default: .pilothouse/rules, here or above]"
    return click.option("--rules", "folder", default="", metavar="FOLDER", help=text)(function)


@command(
    "diff",
    examples=(
        "pilothouse review main...HEAD",
        "pilothouse review change.diff --strict --as github",
        "pilothouse review diff - --model gpt-4.1",
    ),
    keys="data: outcome sentence findings[]: rule severity file line why suggestion; unreviewed[] dropped usd",
    exits=_EXITS,
    group=review,
)
@click.argument("diff")
@_rules_option
@click.option("--strict", is_flag=True, help="exit 7 where a rule of severity error is broken")
@click.option("--as", "as_", type=click.Choice(["md", "github"]), default=None, help="Markdown; annotations")
@click.option("--model", default="", metavar="M", help="the reviewing model  [review.yaml's]")
@click.option("--url", default="", metavar="URL", help="its address  [review.yaml's, the server's gateway]")
@click.option("--key", default="", metavar="env:NAME", help="the variable of its key  [review.yaml's]")
@click.option("--max-usd", default=None, type=float, metavar="USD", help="in this review  [review.yaml's, 1]")
@click.option("--only", default="", metavar="RULES", help="these rules, by commas")
@click.option("--fresh", is_flag=True, help="ask again what an earlier review knows")
@click.pass_obj
def diff_(
    run: Run,
    diff: str,
    folder: str,
    strict: bool,
    as_: str | None,
    model: str,
    url: str,
    key: str,
    max_usd: float | None,
    only: str,
    fresh: bool,
) -> int:
    """Review a diff: a file, - or a range of commits. What no model judged is unreviewed, never clean."""
    from pilothouse.review.changes import text_of
    from pilothouse.review.diff import read_diff
    from pilothouse.review.report import github_annotations, markdown, review_data
    from pilothouse.review.reviewing import review as review_change
    from pilothouse.review.rules import load_rules
    from pilothouse.review.settings import load_settings

    root, place = _places(folder)
    rules = load_rules(place)
    if only:
        wanted = [one.strip() for one in only.split(",") if one.strip()]
        unknown = [one for one in wanted if one not in {rule.id for rule in rules}]
        if unknown:
            raise BadRequest("there is no such rule", got=unknown[0], allowed=[rule.id for rule in rules])
        rules = [rule for rule in rules if rule.id in wanted]
    settings = load_settings(root, {"model": model, "url": url, "key": key, "max_usd": max_usd})
    change = read_diff(text_of(diff, Path(), sys.stdin.buffer))
    made = asyncio.run(review_change(change, rules, settings, root, fresh=fresh, told=_progress))
    if sys.stderr.isatty() and made.questions:
        sys.stderr.write("\n")
    if as_ == "md":
        run.output.text(markdown(made), rows=True)
    elif as_ == "github":
        run.output.text("\n".join(github_annotations(made)), rows=True)
    else:
        again = shlex.join(["pilothouse", "review", diff, "--model", "gpt-4.1"])
        next_ = [] if made.reviewer else ["pilothouse review diff --help" if diff == "-" else again]
        run.output.answer(review_data(made), human=_review, next=next_)
    broken = any(one.severity == "error" for one in made.findings)
    return GateFailed.exit_code if strict and broken else 0


def _places(folder: str) -> tuple[Path, Path]:
    """The folder that holds ``.pilothouse``, and that of the rules."""
    from pilothouse.review.rules import FOLDER
    from pilothouse.review.settings import root_of

    root = root_of(Path().resolve())
    return root, Path(folder) if folder else root / FOLDER


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done:,}/{total:,} pieces")
        sys.stderr.flush()


def _review(data: Mapping[str, Any]) -> Iterable[str]:
    # On one line each, behind a word of ours: a runner of continuous integration reads lines that begin with :: as commands.
    for one in data["findings"]:
        where = f"{one_line(one['file'], 200)}:{one['line']}{' (removed)' if one['removed'] else ''}"
        yield f"{one['severity']}  {one['rule']}  {where}  {one_line(one['why'], 600)}"
        yield f"    | {one_line(one['text'], 160)}"
        if one["suggestion"]:
            yield f"    suggestion: {one_line(one['suggestion'], 1_000)}"
    for one in data["unreviewed"] if data["outcome"] != "not_configured" else ():
        yield f"unreviewed  {one_line(one['file'], 200)}:{one['line']}  {', '.join(one['rules'])}: {one_line(one['why'], 300)}"
    for why, count in data["dropped"].items():
        yield f"dropped  {count:,} {why}"
    for note in data["notes"]:
        yield f"note  {one_line(note, 400)}"
    yield clean(data["sentence"])
    if data["reviewer"]:
        yield f"{one_line(data['reviewer'], 120)}  {data['questions']:,} questions, {data['known']:,} verdicts known, {data['usd']:.4f} USD"


@command(
    "init",
    examples=(
        "pilothouse review init",
        "pilothouse review init --only no-secrets,model-is-pinned",
        "pilothouse review init --human",
    ),
    keys="data: folder files[] kept[]",
    exits=(0, 2, 3),
    group=review,
)
@click.option("--only", default="", metavar="RULES", help="these of the rules that ship, by commas  [all]")
@click.pass_obj
def init(run: Run, only: str) -> None:
    """Begin: a few good rules in .pilothouse/rules, and .pilothouse/review.yaml. What is there already stays."""
    from pilothouse.review.first_rules import FIRST_RULES, IGNORE_TEXT, SETTINGS_TEXT
    from pilothouse.review.rules import FOLDER
    from pilothouse.review.settings import FILE

    wanted = [one.strip() for one in only.split(",") if one.strip()]
    known = [name.removesuffix(".md") for name in FIRST_RULES]
    for one in wanted:
        if one not in known:
            raise BadRequest("no such rule ships", got=one[:80], allowed=known)
    files = {FILE: SETTINGS_TEXT, ".pilothouse/.gitignore": IGNORE_TEXT}
    files |= {f"{FOLDER}/{name}": text for name, text in FIRST_RULES.items() if not wanted or name[:-3] in wanted}
    made: list[str] = []
    kept: list[str] = []
    for name, text in files.items():
        path = Path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            made.append(name)
        except FileExistsError:
            kept.append(name)
        except OSError as error:
            raise BadRequest(f"the file cannot be written: {error.strerror}", got=name) from error
    _let_rules_through(Path(".pilothouse/.gitignore"))
    run.output.answer(
        {"folder": FOLDER, "files": made, "kept": kept},
        human=lambda data: [*(f"wrote {one}" for one in data["files"]), *(f"kept {one}" for one in data["kept"])],
        next=["pilothouse review lint", "pilothouse review main...HEAD"],
    )


def _let_rules_through(path: Path) -> None:
    """Runs of a suite in the same folder keep all of it from git: rules must be committed all the same."""
    from pilothouse.review.first_rules import IGNORE_TEXT

    try:
        before = path.read_text("utf-8")
        if before.strip() == "*":
            path.write_text(IGNORE_TEXT, "utf-8")
    except OSError:
        return


@command(
    "rules",
    examples=(
        "pilothouse review rules",
        "pilothouse review rules --about prompts/support.md",
        "pilothouse review rules --fields rules",
    ),
    keys="data: rules[]: id severity paths[] text examples file",
    exits=(0, 2, 3),
    group=review,
)
@_rules_option
@click.option("--about", default="", metavar="PATH", help="only those that are about this file")
@click.pass_obj
def rules_(run: Run, folder: str, about: str) -> None:
    """List the rules, with the files that each is about."""
    from pilothouse.review.rules import load_rules

    _, place = _places(folder)
    found = [one for one in load_rules(place) if not about or one.about(about)]
    rows = [
        {
            "id": one.id, "severity": one.severity, "paths": list(one.paths), "text": one.text,
            "examples": {"bad": list(one.bad), "good": list(one.good)}, "file": one.file,
        }
        for one in found
    ]  # fmt: skip
    run.output.answer({"rules": rows}, human=_rules)


def _rules(data: Mapping[str, Any]) -> Iterable[str]:
    if not data["rules"]:
        yield "no rule is about this file"
        return
    keys = ("id", "severity", "text")
    yield from table(keys, ([one[key] for key in keys] for one in data["rules"]))


@command(
    "lint",
    examples=("pilothouse review lint", "pilothouse review lint --rules team/rules", "pilothouse review lint --human"),
    keys="data: rules ok findings[]: check severity rule file message",
    exits=_EXITS,
    group=review,
)
@_rules_option
@click.pass_obj
def lint(run: Run, folder: str) -> int:
    """What is wrong with the rules: unreadable, twice, vague, without example, about no file. Exit 7 on an error."""
    from pilothouse.review.changes import tracked
    from pilothouse.review.lint import lint as look
    from pilothouse.review.rules import read_folder

    root, place = _places(folder)
    found = look(place, tracked(root))
    data = {
        "rules": len(read_folder(place)[0]),
        "ok": not any(one.severity == "error" for one in found),
        "findings": [asdict(one) for one in found],
    }
    run.output.answer(data, human=_findings)
    return 0 if data["ok"] else GateFailed.exit_code


def _findings(data: Mapping[str, Any]) -> Iterable[str]:
    if not data["findings"]:
        yield f"{data['rules']:,} rules, nothing to complain of"
    for one in data["findings"]:
        yield f"{one['severity']}  {one['check']}  {one['rule'] or one['file']}: {clean(one['message'])}"
