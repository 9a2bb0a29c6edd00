"""Answers that are known already: by rule, piece of the change, and model. A moved piece is the same piece."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pilothouse.evals import payloads
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.records import canonical_json

from .diff import Hunk
from .prompt import Mention
from .rules import Rule

FOLDER: Final = ".pilothouse/reviewed"
KEPT_MAX: Final = 20_000
"""Files; with more of them the oldest quarter goes."""


class Kept:
    """The answers of one reviewer, on disk."""

    def __init__(self, root: Path, reviewer: str) -> None:
        self._folder, self._reviewer = root / FOLDER, reviewer

    def find(self, rule: Rule, piece: Hunk) -> list[Mention] | None:
        """What is known; None where the model has to be asked."""
        try:
            data: Any = json.loads(self._path(rule, piece).read_bytes())
        except (OSError, ValueError):
            return None
        listed = list_of((mapping_of(data) or {}).get("mentions"))
        if listed is None:
            return None
        try:
            found = [Mention(**one) for one in listed]
        except TypeError:
            return None
        fits = all(0 <= one.at < len(piece.lines) and piece.lines[one.at].kind != "context" for one in found)
        return found if fits else None

    def keep(self, rule: Rule, piece: Hunk, mentions: Sequence[Mention]) -> None:
        """Keep an answer. A folder that cannot be written costs money, and nothing else."""
        rows = [{"at": one.at, "why": one.why, "suggestion": one.suggestion} for one in mentions]
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            ignore = self._folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", "utf-8")
            payloads.write(self._path(rule, piece), json.dumps({"rule": rule.id, "mentions": rows}).encode())

    def prune(self) -> None:
        """Let the oldest go where there are too many."""
        with contextlib.suppress(OSError):
            files = list(self._folder.glob("*.json"))
            if len(files) > KEPT_MAX:
                files.sort(key=lambda one: one.stat().st_mtime)
                for one in files[: KEPT_MAX // 4]:
                    one.unlink(missing_ok=True)

    def _path(self, rule: Rule, piece: Hunk) -> Path:
        lines = [[line.kind, line.text] for line in piece.lines]
        key = canonical_json([self._reviewer, rule.version, piece.file, lines])
        return self._folder / f"{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:32]}.json"
