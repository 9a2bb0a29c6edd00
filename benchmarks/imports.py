"""What importing Claude Code transcripts takes: reading them, and sending them to a server until it has acknowledged all."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ingest import server
from .synthetic import vocabulary

_WORDS = vocabulary()
_CALLS_A_WINDOW = 120
"""Model calls from one compaction to the next: a window of some 500 kB of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured."""

    megabytes: float
    spans: int
    read_mb_per_cpu_s: float
    """Reading and counting alone, a dry run, by the CPU time it takes, start included."""
    sent_mb_per_s: float
    """Until the server has acknowledged everything."""
    amplified: float
    """Bytes sent for each byte read: every call carries its conversation."""
    peak_mb: float
    """Memory of the importing process at its peak."""


def measure(folder: Path, megabytes: int) -> Result:
    """Run it."""
    path = folder / "projects" / f"{uuid.UUID(int=1)}.jsonl"
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        size = 0
        for line in transcript(random.Random(7)):
            size += file.write(json.dumps(line, separators=(",", ":")) + "\n")
            if size > megabytes * 1e6:
                break
    with server(folder / "imports") as running:
        env = {**os.environ, "PILOTHOUSE_URL": f"http://{running.host}", "PILOTHOUSE_API_KEY": running.key}
        dry = run(["import", "claude", str(path), "--dry-run"], env)
        sent = run(["import", "claude", str(path)], env)
    return Result(
        megabytes=size / 1e6,
        spans=dry.data["spans"],
        read_mb_per_cpu_s=size / 1e6 / dry.cpu_s,
        sent_mb_per_s=size / 1e6 / sent.wall_s,
        amplified=sent.data["sent_bytes"] / size,
        peak_mb=sent.peak_mb,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One command that ran."""

    data: dict[str, Any]
    wall_s: float
    cpu_s: float
    peak_mb: float


def run(words: list[str], env: dict[str, str]) -> Run:
    """Run one command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "pilothouse.cli", *words], env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    answer = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, answer
    return Run(
        data=json.loads(answer)["data"],
        wall_s=time.perf_counter() - start,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
    )


def prose(chance: random.Random, chars: int) -> str:
    """Words of about this length together."""
    return " ".join(chance.choices(_WORDS, k=max(1, chars // 8)))


def transcript(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Lines without end, in the sizes of real ones: tool results of a few kB, a compaction now and then."""
    second = 1_770_000_000
    number = 0

    def line(kind: str, **fields: Any) -> dict[str, Any]:
        nonlocal number, second
        number += 1
        second += chance.randint(1, 9)
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(second))
        about = {"sessionId": str(uuid.UUID(int=1)), "version": "2.1.30", "cwd": "/srv/shop", "isSidechain": False}
        return {**about, "type": kind, "uuid": str(uuid.UUID(int=number + 2**64)), "timestamp": at, **fields}

    def answer(block: dict[str, Any]) -> dict[str, Any]:
        usage = {
            "input_tokens": 4,
            "cache_read_input_tokens": 60_000,
            "cache_creation_input_tokens": 900,
            "output_tokens": 300,
        }
        message = {
            "id": f"msg_{number}",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [block],
        }
        return line("assistant", message={**message, "stop_reason": "tool_use", "usage": usage})

    while True:
        for call in range(_CALLS_A_WINDOW):
            if call % 15 == 0:
                yield line("user", message={"role": "user", "content": prose(chance, 300)})
            id = f"toolu_{number}"
            yield answer({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": prose(chance, 120)}})
            content = prose(chance, chance.choice((200, 1_000, 3_000, 12_000)))
            result = {"type": "tool_result", "tool_use_id": id, "content": content}
            told = {"stdout": content, "stderr": "", "interrupted": False}
            yield line("user", message={"role": "user", "content": [result]}, toolUseResult=told)
        yield line("system", subtype="compact_boundary", compactMetadata={"trigger": "auto", "preTokens": 150_000})
        yield line("user", isCompactSummary=True, message={"role": "user", "content": prose(chance, 4_000)})
