"""``--only analysis``: how well the built-in analyst groups the tool errors of real runs, against groups made by hand.

The runs come from a folder of fixtures outside the project (``PILOTHOUSE_FIXTURES``). They go through the real intake into
a real store, are pulled into an export, and are read by the built-in analyst. The reference groups below were made by
reading the tools' answers: a label and words by which it is known, none of them used by the analyst.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pilothouse.analysis.cohorts import cohorts, events_of
from pilothouse.analysis.drive import Drive
from pilothouse.analysis.export import Export
from pilothouse.analysis.merge import merge
from pilothouse.analysis.plan import begin, plan
from pilothouse.analysis.playbook import load_playbook
from pilothouse.files.folder import ExportFolder
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore, open_store

from .signal_runs import judge
from .signals import fixtures, real_runs

REFERENCE: tuple[tuple[str, str], ...] = (
    ("no such flight that day", r"not available on"),
    ("flight is full", r"enough seats"),
    ("gift card too small", r"gift card"),
    ("amount paid is wrong", r"add up"),
    ("unknown means of payment", r"payment method .* not found"),
    ("certificate not accepted", r"certificate cannot"),
)
"""Labels, and the words of a tool's answer that each is known by; the first that fits counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How alike two groupings of the same things are; 1 where they are the same."""

    precision: float
    """Of the pairs that are together in ours, the share that is together in the reference."""
    recall: float
    """Of the pairs that are together in the reference, the share that is together in ours."""
    rand: float
    """The Rand index, adjusted for chance."""
    v_measure: float
    """The harmonic mean of homogeneity and completeness."""


def compare(truth: Sequence[str], found: Sequence[str]) -> Agreement:
    """Compare two groupings, label by label."""
    pairs = list(itertools.combinations(range(len(truth)), 2))
    both = sum(truth[i] == truth[j] and found[i] == found[j] for i, j in pairs)
    ours = sum(found[i] == found[j] for i, j in pairs)
    theirs = sum(truth[i] == truth[j] for i, j in pairs)
    by_chance = ours * theirs / len(pairs) if pairs else 0.0
    most = (ours + theirs) / 2
    homogeneity = 1 - _given(truth, found) / _entropy(truth) if _entropy(truth) else 1.0
    completeness = 1 - _given(found, truth) / _entropy(found) if _entropy(found) else 1.0
    mean = homogeneity + completeness
    return Agreement(
        precision=both / ours if ours else 1.0,
        recall=both / theirs if theirs else 1.0,
        rand=(both - by_chance) / (most - by_chance) if most != by_chance else 1.0,
        v_measure=2 * homogeneity * completeness / mean if mean else 0.0,
    )


def _entropy(labels: Sequence[str]) -> float:
    return -sum(n / len(labels) * math.log(n / len(labels)) for n in Counter(labels).values())


def _given(labels: Sequence[str], known: Sequence[str]) -> float:
    """The entropy of labels that is left where the others are known."""
    left = 0.0
    for name, n in Counter(known).items():
        inside = [label for label, other in zip(labels, known, strict=True) if other == name]
        left += n / len(labels) * _entropy(inside)
    return left


def label_of(text: str) -> str:
    """The reference label of a tool's answer.

    Raises:
        ValueError: nobody has labelled it.
    """
    for label, words in REFERENCE:
        if re.search(words, text, re.IGNORECASE):
            return label
    raise ValueError(f"no reference label for: {text[:80]}")


def export_of_runs(store: TraceStore, folder: Path, runs: Path) -> Path:
    """The real runs as an export."""
    played = [run for run in real_runs(runs) if run.scenario.family == "tau"]
    judge(store, Ingest(store, SystemClock(), read_maskers({})), "real", (), played)
    spec = ExportSpec(kind="query", text="", since="7d")
    target = ExportFolder(folder, spec)
    while not target.take(stream(store, "real", spec, after=target.watermark, now_ns=time.time_ns())).complete:
        pass
    target.finish(complete=True)
    target.close()
    return folder


def grouped_errors(export: Path) -> list[tuple[str, str]]:
    """Every tool error that the analyst found: its text, and the group it was put into. The report is written, too."""
    place = Export(export)
    run = begin(place, plan(place, load_playbook("tool-errors")))
    driven = Drive(run).go()
    assert not driven.state.open, driven.state.open
    merge(run)
    events = [event for event in events_of(driven.state.first) if event.component.startswith("tool:")]
    made = cohorts([event for event in events if event.text.lower().startswith("error")])
    return [(event.text, cohort.name) for cohort in (*made.cohorts, *made.small) for event in cohort.events]


def report(folder: Path) -> Iterator[str]:
    """The table."""
    found = fixtures()
    if found is None:
        yield "no real runs: PILOTHOUSE_FIXTURES names no folder with tau_bench"
        return
    began = time.monotonic()
    store = open_store("", folder / "store")
    store.migrate()
    try:
        export = export_of_runs(store, folder / "export", found)
    finally:
        store.close()
    ready = time.monotonic()
    errors = grouped_errors(export)
    took = time.monotonic() - ready
    truth, ours = [label_of(text) for text, _ in errors], [group for _, group in errors]
    alike = compare(truth, ours)
    yield f"{len(errors)} tool errors of 40 real runs; import and pull {ready - began:.1f} s, reading twice, grouping and report {took:.1f} s"  # fmt: skip
    yield f"reference: {len(set(truth))} groups, made by hand; found: {len(set(ours))}"
    yield f"pairwise precision {alike.precision:.3f}, recall {alike.recall:.3f}"
    yield f"adjusted Rand index {alike.rand:.3f}, V-measure {alike.v_measure:.3f}"
    for group in dict.fromkeys(ours):
        labels = Counter(label for label, other in zip(truth, ours, strict=True) if other == group)
        yield f"  {sum(labels.values()):>3}  {group}: {', '.join(f'{name} {n}' for name, n in labels.most_common())}"
