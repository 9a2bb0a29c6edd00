"""Runs one question over one value in a process of its own, and kills it when it takes too long."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pilothouse.records import BadRequest

TIME_MAX_S: Final = 20.0
MEMORY_MAX_BYTES: Final = 3 << 30
"""jq needs some ten times the size of a document, and Python some eight times."""
SPILL_BYTES: Final = 64 << 20
"""What a result may grow to, kept as a value of its own."""


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
    asked = {
        **question,
        "spill": str(spill),
        "spill_bytes": limits.spill_bytes,
        "memory_bytes": limits.memory_bytes,
        # The wall clock is the bound that counts; this one ends a child whose parent was killed.
        "cpu_s": int(limits.time_s) + 2,
    }
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            [sys.executable, "-m", "pilothouse.runtime.query_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        try:
            said, _ = child.communicate(json.dumps(asked) + "\n", timeout=limits.time_s)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.communicate()
            raise BadRequest(
                f"the query took longer than {limits.time_s:g} s and was stopped",
                fix="narrow it: a path first, e.g. .orders[:100] | …, or limit(10; …)",
            ) from error
    try:
        return cast("dict[str, Any]", json.loads(said))
    except ValueError as error:
        # Out of memory, jq aborts the process instead of saying so.
        raise BadRequest(
            f"the query needed more than {limits.memory_bytes >> 20:,} MB of memory, or crashed (exit {child.returncode})",
            fix="narrow it: a path first, and no array of everything ([.. ] or range without end)",
        ) from error
