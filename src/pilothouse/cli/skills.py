"""``skills``: what coding agents can be taught about this command line; listed, read, installed, taken away."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest

from .help import PlainGroup, command, unknown
from .root import Run
from .terminal import table

if TYPE_CHECKING:
    from pilothouse.skills import CodingAgent

_PARTIAL = 9

_HELP = """Skills for coding agents (agentskills.io): when to use which command, step by step.

usage: pilothouse skills
       pilothouse skills get NAME [--file F]
       pilothouse skills install [NAME]... [--for AGENT] [--project DIR | --user]

  install  write them where an agent reads skills; --uninstall takes them away

examples:
  pilothouse skills
  pilothouse skills get debug-trace
  pilothouse skills install --dry-run

answer: data[]: name version description files installed[]: folder state (current old edited foreign)
more: pilothouse skills COMMAND --help
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 9 some items failed
"""


class _SkillsGroup(PlainGroup):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)


@click.group("skills", cls=_SkillsGroup, invoke_without_command=True, help="Skills for coding agents.")
@click.pass_context
def skills(ctx: click.Context) -> None:
    """Skills for coding agents: list them."""
    if ctx.invoked_subcommand is not None:
        return
    from pilothouse.skills import AGENTS, installed, read_skills

    run: Run = ctx.obj
    places = {agent.folder(project, Path.home(), os.environ) for agent in AGENTS for project in (Path(), None)}
    rows = [
        {
            "name": skill.name,
            "version": skill.version,
            "description": skill.description,
            "files": list(skill.files),
            "installed": [
                {"folder": str(place), "state": state}
                for place in sorted(places)
                if (state := installed(skill, place)) != "absent"
            ],
        }
        for skill in read_skills()
    ]
    following = ["pilothouse skills get debug-trace", "pilothouse skills install --dry-run"]
    run.output.answer(rows, human=_rows, next=following)


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    states = (", ".join(f"{place['folder']} ({place['state']})" for place in row["installed"]) for row in rows)
    cells = ((row["name"], where or "-", row["description"]) for row, where in zip(rows, states, strict=True))
    return table(("skill", "installed", "when to use it"), cells)


@command(
    "get",
    group=skills,
    examples=(
        "pilothouse skills get debug-trace",
        "pilothouse skills get triage --budget 20000",
        "pilothouse skills get debug-trace --json",
    ),
    keys="the skill as text; with --json: data: name file text files[]",
    exits=(0, 2),
)
@click.argument("name")
@click.option("--file", "file", default="SKILL.md", show_default=True, metavar="F", help="another file of the skill")
@click.pass_obj
def get(run: Run, name: str, file: str) -> None:
    """Print a skill, or a file it refers to."""
    from pilothouse.skills import find

    skill = find(name)
    if file not in skill.files:
        raise unknown("file of this skill", file, list(skill.files), f"pilothouse skills get {name}")
    facts = {"name": skill.name, "file": file, "text": skill.files[file], "files": list(skill.files)}
    if run.settings.json_asked:
        run.output.answer(facts, human=lambda data: [data["text"]])
    else:
        run.output.text(skill.files[file], rows=True)


@command(
    "install",
    group=skills,
    examples=(
        "pilothouse skills install --dry-run",
        "pilothouse skills install debug-trace triage --for claude",
        "pilothouse skills install --for codex --user --uninstall",
    ),
    keys="data[]: skill folder action (written updated unchanged removed absent kept) why",
    exits=(0, 2, 9),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--for",
    "agents",
    default="auto",
    show_default=True,
    metavar="A,B",
    help="claude codex cursor copilot gemini opencode windsurf agents",
)
@click.option("--project", default="", metavar="DIR", help="of this project; default: the folder you are in")
@click.option("--user", is_flag=True, help="of all your projects")
@click.option("--uninstall", "away", is_flag=True, help="take away what was installed")
@click.option("--force", is_flag=True, help="also what was edited by hand")
@click.option("--dry-run", is_flag=True, help="only say what would be done")
@click.pass_obj
def install(
    run: Run, names: tuple[str, ...], agents: str, project: str, user: bool, away: bool, force: bool, dry_run: bool
) -> int:
    """Write skills where coding agents read them, bring them up to date, or take them away."""
    from pilothouse.skills import find, read_skills, uninstall
    from pilothouse.skills import install as write

    if user and project:
        raise BadRequest("--user and --project contradict each other", got=project, allowed="one of them")
    root = None if user else Path(project or ".")
    if root is not None and not root.is_dir():
        raise BadRequest("there is no such folder", got=project, fix="pilothouse skills install --dry-run")
    chosen = [find(name) for name in dict.fromkeys(names)] or list(read_skills())
    # Two agents may read one folder: it is written once.
    folders = list(dict.fromkeys(agent.folder(root, Path.home(), os.environ) for agent in _agents(agents, root)))
    done = (uninstall if away else write)(chosen, folders, dry_run=dry_run, force=force)
    rows = [asdict(one) for one in done]
    words = ["pilothouse skills install", *names, f"--for {agents}", *(["--user"] if user else [])]
    undo = " ".join([*words, "--uninstall", "--dry-run"])
    run.output.answer(rows, human=_done, next=[] if away else [undo])
    return _PARTIAL if any(one.action == "kept" for one in done) else 0


def _agents(text: str, root: Path | None) -> tuple[CodingAgent, ...]:
    from pilothouse.skills import AGENTS, here

    if text == "auto":
        return here(root, Path.home(), os.environ)
    known = {agent.name: agent for agent in AGENTS}
    for name in text.split(","):
        if name not in known:
            raise unknown("coding agent", name, ["auto", *known], "pilothouse skills install --for auto --dry-run")
    return tuple(known[name] for name in text.split(","))


def _done(rows: list[dict[str, Any]]) -> list[str]:
    return table(("skill", "what", "where", ""), ((r["skill"], r["action"], r["folder"], r["why"]) for r in rows))
