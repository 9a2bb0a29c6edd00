"""``run``: an agent as it is, recorded."""

from __future__ import annotations

import os
import signal
import sys
from urllib.parse import urlsplit

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run


@command(
    "run",
    examples=(
        "pilothouse run -- python my_agent.py",
        "pilothouse run --service shop --env staging -- python -m shop.agent",
        "pilothouse run --console -- my-agent serve",
    ),
    keys="the command's own output; hints and the summary on stderr. Exit code and signals are the command's",
    exits=(0, 2),
)
@click.option("--service", default="", metavar="NAME", help="default: the script's name")
@click.option("--env", "deployment", default="", metavar="NAME", help="such as production or staging")
@click.option("--endpoint", default="", metavar="URL", help="default: $PILOTHOUSE_URL, else the server of this machine")
@click.option("--console", is_flag=True, help="say at the end on stderr what was recorded, with the trace's address")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND …")
@click.pass_obj
def run(run: Run, service: str, deployment: str, endpoint: str, console: bool, words: tuple[str, ...]) -> int:
    """Run a command and record every Python process in it, without a change to its code."""
    wanted = command_after_dashes(run, words, "pilothouse run -- python my_agent.py")
    if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
        raise BadRequest("--endpoint is no address", got=endpoint, allowed="http://HOST:PORT or https://HOST")
    from pilothouse.sdk.run import hints, run_command, summary

    ran = run_command(wanted, service=service, deployment=deployment, endpoint=endpoint)
    for hint in hints(ran):
        sys.stderr.write(f"pilothouse: {hint}\n")
    if console:
        sys.stderr.write(summary(ran) + "\n")
    sys.stderr.flush()
    return end_like(ran.returncode)


def command_after_dashes(run: Run, words: tuple[str, ...], example: str) -> tuple[str, ...]:
    """The command behind ``--``.

    Raises:
        BadRequest: there is none, or the dashes are missing, without which our flags and the command's would mix.
    """
    if not words:
        raise BadRequest("a command is missing", got="", allowed="-- COMMAND …", fix=example)
    if "--" not in run.settings.words:
        raise BadRequest("-- is missing before the command", got=words[0], allowed="-- COMMAND …", fix=example)
    return words


def end_like(returncode: int) -> int:
    """The exit code of a command; where a signal ended it, this process ends by the same one."""
    if returncode >= 0:
        return returncode
    sys.stdout.flush()
    number = -returncode
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
