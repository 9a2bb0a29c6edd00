"""Runs one question over one value in a process of its own, and kills it when it takes too long."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pilothouse.records import BadRequest

TIME_MAX_S: Final = 20.0
MEMORY_MAX_BYTES: Final = 3 << 30
"""jq needs some ten times the size of a document, and Python some eight times."""
_CHILD: Final = Path(__file__).with_name("query_child.py")
SPILL_BYTES: Final = 64 << 20
"""What a result may grow to, kept as a value of its own."""
_GRACE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What one question may take."""

    time_s: float = TIME_MAX_S
    memory_bytes: int = MEMORY_MAX_BYTES
    spill_bytes: int = SPILL_BYTES


def run_query(question: dict[str, Any], spill: Path, limits: QueryLimits) -> dict[str, Any]:
    """The child's answer.

    Raises:
        BadRequest: it took too long or too much memory.
    """
    with _child(question, spill, limits) as (child, asked):
        try:
            said, _ = child.communicate(asked, timeout=limits.time_s)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.communicate()
            raise BadRequest(
                f"the query took longer than {limits.time_s:g} s and was stopped",
                fix="narrow it: a path first, e.g. .orders[:100] | …, or limit(10; …)",
            ) from error
    return _answer(said, child, limits)


def stream_query(question: dict[str, Any], lines: Iterator[str], spill: Path, limits: QueryLimits) -> dict[str, Any]:
    """The child's answer over values that are fed to it one a line, until they end or the time is over.

    Raises:
        BadRequest: one value took too long or too much memory.
    """
    deadline = time.monotonic() + limits.time_s
    with _child(question, spill, limits) as (child, asked):
        # A program that never ends reads nothing more: the pipe would keep us here for good.
        ending = threading.Timer(limits.time_s + _GRACE_S, child.kill)
        ending.start()
        try:
            assert child.stdin is not None and child.stdout is not None
            # The child stops reading when it has its answer early.
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(asked)
                for line in lines:
                    child.stdin.write(line)
                    if time.monotonic() > deadline:
                        break
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            said = child.stdout.read()
            child.wait()
        finally:
            ending.cancel()
            child.kill()
            child.wait()
    return _answer(said, child, limits)


@contextlib.contextmanager
def _child(question: dict[str, Any], spill: Path, limits: QueryLimits) -> Generator[tuple[subprocess.Popen[str], str]]:
    asked = {
        **question,
        "spill": str(spill),
        "spill_bytes": limits.spill_bytes,
        "memory_bytes": limits.memory_bytes,
        # The wall clock is the bound that counts; this one ends a child whose parent was killed.
        "cpu_s": int(limits.time_s) + 2,
        "import_paths": sys.path,
    }
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            # A third of the start of a usual Python: no site packages to look through, nothing of ours to import.
            [sys.executable, "-I", "-S", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        try:
            yield child, json.dumps(asked) + "\n"
        finally:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError, ValueError):
                        pipe.close()


def _answer(said: str, child: subprocess.Popen[str], limits: QueryLimits) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(said))
    except ValueError as error:
        # Out of memory, jq aborts the process instead of saying so.
        raise BadRequest(
            f"the query needed more than {limits.memory_bytes >> 20:,} MB of memory, or crashed (exit {child.returncode})",
            fix="narrow it: a path first, and no array of everything ([.. ] or range without end)",
        ) from error
