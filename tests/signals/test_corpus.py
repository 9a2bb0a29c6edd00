"""What the rules must reach on runs with a known fault: played by genuine SDKs, through the real intake, seed 11."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import signals

from pilothouse.signals import RULES
from pilothouse.store import TraceStore

SEED = 11
PRECISION = dict.fromkeys(RULES, 1.0)
RECALL = {
    **dict.fromkeys(RULES, 1.0),
    # Loops in other words each time, and failures in plain words, are missed on purpose: nothing in them is certain.
    "loop": 0.85,
    "soft_error": 0.75,
    # The list of what announces is finite.
    "premature_finish": 0.7,
}


@pytest.mark.slow
def test_the_corpus_is_judged_well(store: TraceStore) -> None:
    judged = signals.generated(store, each=1, seed=SEED, agents=2)
    sys.stdout.write("\n".join(signals.table(f"seed {SEED}", judged)))
    for score in signals.scores(judged):
        assert score.precision is not None, f"{score.signal} was never found"
        assert score.precision >= PRECISION[score.signal], score
        assert score.recall is not None and score.recall >= RECALL[score.signal], score


def test_real_runs_are_judged_as_people_read_them(store: TraceStore, fixtures_folder: Path) -> None:
    if not (fixtures_folder / "tau_bench").is_dir():
        pytest.skip("no tau_bench among the fixtures")
    wrong = {
        scenario.kind: (sorted(scenario.truth), sorted(found))
        for scenario, found in signals.real(store, fixtures_folder)
        if found != scenario.truth
    }
    assert wrong == {}


def test_the_interval_is_wilsons() -> None:
    assert [round(bound, 4) for bound in signals.interval(9, 10)] == [0.5958, 0.9821]
    assert signals.interval(0, 0) == (0.0, 1.0)
