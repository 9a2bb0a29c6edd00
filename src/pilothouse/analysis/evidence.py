"""Evidence: words that stand in a line of a file of the export, so that anybody can look them up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .failures import QUOTE_CHARS, Failure, Step, TraceFacts

EVIDENCE_MAX = 6
_PAYLOAD_LINES_MAX = 20_000


def evidence(
    trace: TraceFacts, export: Path, failures: Sequence[Failure], steps: Sequence[Step] = ()
) -> list[dict[str, Any]]:
    """A piece for each failure, then for each step, at most six."""
    wanted = [(failure.step, failure.quote) for failure in failures] + [(step, "") for step in steps]
    wanted = wanted[:EVIDENCE_MAX]
    raw = _raw_lines(export, wanted)
    return [_piece(trace, export, step, quote, raw.get((step.file, step.line), "")) for step, quote in wanted]


def _piece(trace: TraceFacts, export: Path, step: Step, quote: str, line: str) -> dict[str, Any]:
    about: dict[str, Any] = {"step": step.step, "span": step.span}
    if quote and occurs(quote, line):
        return {"file": step.file, "line": step.line, **about, "quote": quote[:QUOTE_CHARS]}
    for path in sorted((export / trace.folder / "payloads").glob(f"{step.step}.*")) if quote else ():
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                if quote in text:
                    name = f"{trace.folder}/payloads/{path.name}"
                    return {"file": name, "line": number, **about, "quote": quote[:QUOTE_CHARS]}
                if number >= _PAYLOAD_LINES_MAX:
                    break
    # The words are put together from several places: the line itself is what can be shown.
    return {"file": step.file, "line": step.line, **about, "quote": line.strip()[:QUOTE_CHARS] or step.step}


def occurs(quote: str, line: str) -> bool:
    """Whether words stand in a line, as they are or as JSON writes them down, once or twice over."""
    wanted = " ".join(quote.split())
    text = line
    for _ in range(3):
        if wanted in " ".join(text.split()):
            return True
        text = text.replace('\\"', '"').replace("\\n", " ").replace("\\t", " ").replace("\\\\", "\\")
    return False


def _raw_lines(export: Path, wanted: Sequence[tuple[Step, str]]) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for file in {step.file for step, _ in wanted}:
        numbers = {step.line for step, _ in wanted if step.file == file}
        with open(export / file, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if number in numbers:
                    found[file, number] = line
                if number >= max(numbers):
                    break
    return found
