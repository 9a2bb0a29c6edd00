"""Tracked files name no machine of ours: no absolute paths of a workplace, no private hosts."""

from __future__ import annotations

import re
import subprocess

from .sources import PROJECT

# Joined from pieces, so that this file does not find itself.
_WORDS = re.compile(
    "|".join(
        [
            "/" + r"work/(main|shared)\b",
            "/" + r"home/[a-z][a-z0-9_-]+/",
            "/" + r"Users/[A-Za-z]",
            "/" + r"root/\.",
            "/" + r"tmp/[a-z]/",
            r"\b[\w.-]+\.(internal|corp|lan)\b(?!\()",
        ]
    )
)

ALLOWED: dict[str, str] = {
    "examples of an agent's own data may hold anything": r"tests/conventions/captures/.*|tests/.*/captures/.*",
}


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]


def test_no_tracked_file_names_a_machine_of_ours() -> None:
    found: list[str] = []
    for name in tracked():
        if any(re.fullmatch(pattern, name) for pattern in ALLOWED.values()):
            continue
        path = PROJECT / name
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            hit = _WORDS.search(line)
            if hit:
                found.append(f"{name}:{number}: {hit[0]}")
    assert found == []
