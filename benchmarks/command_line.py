"""What the command line costs to start, what an agent reads of it before it begins, and what an installation weighs."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution, requires
from pathlib import Path
from statistics import median

import click
from packaging.requirements import Requirement

from pilothouse.cli.root import root

from .ingest import server


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured."""

    help_cpu_s: float
    ls_cpu_s: float
    mcp_cpu_s: float
    """From starting ``pilothouse mcp`` to the list of its tools."""
    largest_help: str
    """The command whose help is the longest."""
    help_bytes: int
    tool_list_bytes: int
    """The answer to ``tools/list``."""
    instructions_bytes: int
    installed_mb: float


def measure(folder: Path) -> Result:
    """Run it."""
    with server(folder / "cli") as running:
        env = {**os.environ, "PILOTHOUSE_URL": f"http://{running.host}", "PILOTHOUSE_API_KEY": running.key}
        name, text = largest_help()
        hello, tools = tool_list(env)
        return Result(
            help_cpu_s=cpu_of(["--help"], env),
            ls_cpu_s=cpu_of(["ls"], env),
            mcp_cpu_s=cpu_of_call(lambda: tool_list(env)),
            largest_help=name,
            help_bytes=len(text.encode()),
            tool_list_bytes=len(tools),
            instructions_bytes=len(json.loads(hello)["result"]["instructions"].encode()),
            installed_mb=installed_bytes() / 1e6,
        )


def cpu_of(arguments: list[str], env: dict[str, str]) -> float:
    """Median CPU seconds of one command."""
    command = [sys.executable, "-m", "pilothouse.cli", *arguments]
    return cpu_of_call(lambda: subprocess.run(command, env=env, capture_output=True, check=True))


def cpu_of_call(work: Callable[[], object]) -> float:
    """Median CPU seconds of the processes that some work starts and waits for."""
    taken = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        work()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(taken)


def largest_help() -> tuple[str, str]:
    """The command with the longest help, and that help."""
    helps: dict[str, str] = {}

    def read(command: click.Command, name: str) -> None:
        helps[name] = command.get_help(click.Context(command, info_name=name))
        if isinstance(command, click.Group):
            for inner in command.list_commands(click.Context(command, info_name=name)):
                found = command.get_command(click.Context(command, info_name=name), inner)
                if found is not None:
                    read(found, f"{name} {inner}")

    read(root, "pilothouse")
    return max(helps.items(), key=lambda item: len(item[1]))


def tool_list(env: dict[str, str]) -> tuple[str, str]:
    """What ``pilothouse mcp`` says first, and its list of tools, as they come over the pipe."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    asked = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    )
    command = [sys.executable, "-m", "pilothouse.cli", "mcp"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in asked:
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        hello, tools = process.stdout.readline(), process.stdout.readline()
        process.stdin.close()
    return hello, tools


def installed_bytes() -> int:
    """Size of every file of ``pilothouse[all]`` and what it needs, as installed here."""
    seen: set[str] = set()
    waiting = [Requirement("pilothouse[all]")]
    total = 0
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            for text in requires(wanted.name) or ():
                needed = Requirement(text)
                marker = needed.marker
                if marker is None or marker.evaluate({"extra": extra}):
                    key = f"{needed.name}[{','.join(sorted(needed.extras))}]"
                    if key not in seen:
                        seen.add(key)
                        waiting.append(needed)
    for name in {key.split("[")[0].lower() for key in seen} | {"pilothouse"}:
        for file in distribution(name).files or ():
            path = Path(str(file.locate()))
            total += path.stat().st_size if path.exists() else 0
    return total
