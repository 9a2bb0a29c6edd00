"""A review for whoever reads it: plain data, Markdown for a pull request, and annotations as GitHub's runner takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from pilothouse.evals.report import markdown_cell
from pilothouse.records import clean

from .reviewing import Review

_ROWS_MAX: Final = 100
_LEVELS: Final = {"error": "error", "warning": "warning", "note": "notice"}


def review_data(made: Review) -> dict[str, Any]:
    """A review as plain data."""
    return {
        "outcome": made.outcome,
        "reviewer": made.reviewer,
        "rules": made.rules,
        "files": made.files,
        "verdicts": made.verdicts,
        "known": made.known,
        "questions": made.questions,
        "usd": round(made.usd, 6),
        "findings": [asdict(one) for one in made.findings],
        "unreviewed": [{**asdict(one), "rules": list(one.rules)} for one in made.unreviewed],
        "dropped": dict(made.dropped),
        "notes": list(made.notes),
        "sentence": sentence(made),
    }


def sentence(made: Review) -> str:
    """What came of it, in one line."""
    left = sum(len(one.rules) for one in made.unreviewed)
    open_ = f"; {left:,} verdicts are missing" if left else ""
    if made.outcome == "not_configured":
        return "not reviewed: no model is configured (model: in .pilothouse/review.yaml, or --model)"
    if made.outcome == "nothing_to_review":
        return "nothing to review: no rule is about a file of this change"
    if made.outcome == "unreviewed":
        return f"no verdict: {made.verdicts:,} of {made.verdicts + left:,} were given{open_}"
    if made.outcome == "clean":
        return f"{made.rules:,} rules are kept in {made.files:,} files"
    errors = sum(one.severity == "error" for one in made.findings)
    return f"{len(made.findings):,} findings, {errors:,} of them errors{open_}"


def markdown(made: Review) -> str:
    """For a pull request."""
    lines = [f"## Review: {sentence(made)}", ""]
    lines += [f"- {markdown_cell(one)}" for one in made.notes]
    if made.findings:
        lines += ["", "| severity | rule | where | why | suggestion |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {one.severity} | {one.rule} | {markdown_cell(one.file)}:{one.line}{' (removed)' if one.removed else ''} |"
            f" {markdown_cell(one.why)} | {markdown_cell(one.suggestion)} |"
            for one in made.findings[:_ROWS_MAX]
        ]
        if len(made.findings) > _ROWS_MAX:
            lines.append(f"| … | {len(made.findings) - _ROWS_MAX} more | | | |")
    if made.unreviewed:
        lines += ["", "Not reviewed:", ""]
        lines += [
            f"- {markdown_cell(one.file)}:{one.line} by {', '.join(one.rules)}: {markdown_cell(one.why)}"
            for one in made.unreviewed[:_ROWS_MAX]
        ]
    if made.dropped:
        lines += ["", "Dropped: " + ", ".join(f"{count} {why}" for why, count in made.dropped.items())]
    if made.reviewer:
        lines += ["", f"{markdown_cell(made.reviewer)}; {made.questions} questions, {made.usd:.4f} USD"]
    return "\n".join(lines) + "\n"


def github_annotations(made: Review) -> Iterator[str]:
    """Workflow commands of GitHub's runner: a line each, every value escaped so that none can be a command of its own."""
    for one in made.findings:
        told = f"{one.why}\n{one.suggestion}" if one.suggestion else one.why
        yield (
            f"::{_LEVELS[one.severity]} file={_property(one.file)},line={one.line},title={_property(one.rule)}"
            f"::{_message(told)}"
        )
    if made.unreviewed:
        told = [sentence(made), *(f"{one.file}:{one.line}: {one.why}" for one in made.unreviewed[:10])]
        yield "::warning title=Not reviewed::" + _message("\n".join(told))
    for note in made.notes:
        yield f"::notice title=Review::{_message(note)}"
    if not made.findings and not made.unreviewed:
        yield f"::notice title=Review::{_message(sentence(made))}"


def _message(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
