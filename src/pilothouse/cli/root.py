"""The root of the command line: finds a command by name, imports only that one, and gives every error its exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import click

from pilothouse import __version__
from pilothouse.records import BadRequest, Broken, PilothouseError

from .client import Client
from .help import GLOBAL_FLAGS, PlainGroup
from .output import Output, complain
from .settings import CliSettings, read_settings

COMMANDS: dict[str, tuple[str, str]] = {
    # name: where it is ("module:attribute"), and one line
    "ls": ("traces:ls", "List traces: filters, facets, stable order."),
    "show": ("traces:show", "Show one trace, step or session."),
    "why": ("why:why", "What is wrong with a trace, and where."),
    "decision": ("decision:decision", "What model calls decided, and on what."),
    "search": ("traces:search", "Find words in messages and tool values."),
    "logs": ("logs:logs", "Log lines: of a trace, of a search, from files."),
    "pull": ("pull:pull", "Write traces to a folder: files and SQLite."),
    "import": ("imports:import_files", "Import Claude Code, Codex, ATIF, Inspect, SWE-agent, OTLP files."),
    "analyze": ("analyze:analyze", "Ask a playbook of every trace of an export."),
    "eval": ("evals_all:evals", "Suites of cases: write, run, compare, gate."),
    "optimize": ("optimize:optimize", "Improve a prompt by cases, in a budget."),
    "review": ("review:review", "Rules in words, held against a diff."),
    "note": ("annotations:note", "Write a note on a trace, step or session."),
    "score": ("annotations:score", "Score a trace, step or session."),
    "label": ("annotations:label", "Label a trace, step or session."),
    "notes": ("annotations:notes", "Notes, scores and labels of a trace, session or run."),
    "undo": ("annotations:undo", "Take back all that a run wrote."),
    "queues": ("queues:queues", "Annotation queues: people label traces, one by one."),
    "delete": ("deletions:delete", "Delete a trace or session; a person confirms."),
    "context": ("context:context", "What was in each model call's window."),
    "diff": ("diff:diff", "Two traces step by step: where they part."),
    "sql": ("sql:sql", "Ask in SQL over documented views."),
    "cost": ("cost:cost", "What was spent, by what, and why."),
    "budgets": ("budgets:budgets", "What may be spent, what was, what is held back."),
    "cache": ("cache:cache", "Kept answers, and providers' prompt caches."),
    "routing": ("routing:routing", "Which model a request needs: learned, rated."),
    "gateway": ("gateway:gateway", "The gateway now: upstreams, keys, breakers."),
    "sessions": ("sessions:sessions", "List conversations, or show one."),
    "live": ("live:live", "What runs now: who runs, waits, is stuck, has died."),
    "tail": ("live:tail", "Spans, traces and signals as they arrive."),
    "mcp": ("mcp:mcp", "Tools for agents without a shell (MCP)."),
    "fleet": ("overview:fleet", "Every agent: now, and how it has done."),
    "level": ("audit:level", "What an agent is, L1 to L5, and which controls it lacks."),
    "audit": ("audit:audit", "What of an agent would fail silently."),
    "map": ("map:system_map", "What the system is made of, and who calls whom."),
    "overview": ("overview:overview", "Latency, cost and errors of a window."),
    "stats": ("overview:stats", "What is recorded, in numbers."),
    "jobs": ("jobs:jobs", "Durable runs: list, show, cancel."),
    "approvals": ("approvals:approvals", "Actions that wait for a person: list, decide."),
    "guard": ("guard:guard", "Ask a gate about a text."),
    "drill": ("guard:drill", "Take checks down: nothing may get through."),
    "policy": ("policy:policy", "The policy: in force, dry runs, versions."),
    "doctor": ("doctor:doctor", "What is rejected, dropped, skewed, counted twice."),
    "reprocess": ("doctor:reprocess", "Normalise and price stored history again."),
    "store": ("store:store", "What is stored and what it takes."),
    "retention": ("store:retention", "How long what is kept."),
    "keys": ("access:keys", "API keys: list, make, revoke."),
    "projects": ("access:projects", "Projects: list, make."),
    "sign-in": ("access:sign_in", "A link that signs a browser in once."),
    "open": ("access:open_page", "The address of a page, signed in."),
    "up": ("server:up", "Start the server."),
    "down": ("server:down", "Stop the server of this machine."),
    "status": ("server:status", "Whether a server runs here, and where."),
    "run": ("run:run", "Run an agent as it is, recorded."),
    "verify": ("verify:verify", "Check that an agent's record can be trusted."),
    "deliver": ("deliver:deliver", "Send what waits on disk since the server was away."),
    "demo": ("server:demo", "Record a small fleet of demo agents."),
    "schema": ("schema:schema", "JSON Schema of a command's answer."),
    "docs": ("docs:docs", "Guides, concepts and reference."),
    "skills": ("skills:skills", "Skills for coding agents: list, read, install."),
    "api": ("api:api", "GET any address of the HTTP API."),
}

_MORE: dict[str, str] = {
    # what for: the commands that the first page of help only names
    "watch": "live tail fleet map overview stats",
    "connect": "mcp",
    "judge": "eval optimize review audit level verify doctor",
    "record": "run import deliver demo",
    "control": "approvals guard drill policy budgets cache gateway routing",
    "write": "note score label notes undo queues delete",
    "server": "up down status jobs open sign-in keys projects store retention reprocess",
    "learn": "docs skills schema api",
}

_HELP = f"""Pilothouse: the operations room for LLM agents.

usage: pilothouse COMMAND …        (ph is short for pilothouse)

{{commands}}

start here:
  pilothouse up --detach
  pilothouse ls status:error
  pilothouse show last-error --as card

flags, anywhere: {GLOBAL_FLAGS}
Output is JSON when stdout is no terminal. Another server: PILOTHOUSE_URL and
PILOTHOUSE_API_KEY. more: pilothouse COMMAND --help
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a command is given: ``@click.pass_obj`` hands it over."""

    settings: CliSettings
    client: Client
    output: Output


class Root(PlainGroup):
    """All commands; each module is imported when one of its commands is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place[0].partition(":")
        found = getattr(importlib.import_module(f"pilothouse.cli.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the tables, not from the commands: `pilothouse --help` imports none of them.
        named = {name for names in _MORE.values() for name in names.split()}
        first = {name: line for name, (_, line) in COMMANDS.items() if name not in named}
        width = max(map(len, first))
        commands = "\n".join(f"  {name:<{width}}  {line}" for name, line in first.items())
        commands += "\n\n" + "\n".join(f"  {what:<{width}}  {names}" for what, names in _MORE.items())
        formatter.write(_HELP.format(commands=commands))


root = Root("pilothouse", no_args_is_help=True)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    settings: CliSettings | None = None
    try:
        settings, rest = read_settings(
            arguments, os.environ, terminal=sys.stdout.isatty(), error_terminal=sys.stderr.isatty()
        )
        if "--version" in rest[:1]:
            sys.stdout.write(f"pilothouse {__version__}\n")
            return 0
        if rest[:1] == ["help"]:
            rest = [*rest[1:], "--help"]
        given = Run(settings=settings, client=Client(settings), output=Output(settings))
        result: object = root.main(list(rest), "pilothouse", standalone_mode=False, obj=given)
        return result if isinstance(result, int) else 0
    except PilothouseError as error:
        if settings is not None:
            _mend(error, settings.words)
        complain(error, settings)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(error.format_message() + "\n")
        return 0
    except click.ClickException as error:
        wrong = _usage(error)
        if settings is not None and wrong.allowed:
            wrong.fix = ""
            _mend(wrong, settings.words)
        complain(wrong, settings)
        return BadRequest.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # The reader has seen enough, e.g. `| head`. What is left in the buffer must not be flushed at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # lives to the end of the process
        return 0
    except Exception as error:
        if os.environ.get("PILOTHOUSE_DEBUG"):
            traceback.print_exc()
        fix = "PILOTHOUSE_DEBUG=1 shows where; please report it"
        complain(Broken(f"a defect of ours: {type(error).__name__}: {error}", fix=fix), settings)
        return 1


def _path(words: Sequence[str]) -> str:
    """The command that words name, without its arguments: ``pilothouse keys new``."""
    path, command = ["pilothouse"], root
    context = click.Context(root)
    for word in words:
        found = command.get_command(context, word)
        if found is None:
            break
        path.append(word)
        if not isinstance(found, click.Group):
            break
        command = found
    return " ".join(path)


def _usage(error: click.ClickException) -> BadRequest:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "pilothouse"
    message = error.format_message().rstrip(".")
    allowed = got = None
    if isinstance(error, click.BadParameter) and error.param is not None and isinstance(error.param.type, click.Choice):
        allowed = list(error.param.type.choices)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        quoted = re.search(r"'([^']*)' is not one of", error.message)
        got = quoted[1] if quoted else None
    return BadRequest(message[:1].lower() + message[1:], got=got, allowed=allowed, fix=f"{path} --help")


def _mend(error: PilothouseError, words: Sequence[str]) -> None:
    from .mend import mend  # only where something went wrong

    mend(error, words, _path(words))
