"""The tool errors of real runs: grouped as a person groups them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from pilothouse.store import TraceStore

if find_spec("sklearn") is None:
    pytest.skip("scikit-learn is not installed", allow_module_level=True)


def test_how_alike_two_groupings_are() -> None:
    from benchmarks.analysis import Agreement, compare

    assert compare(["a", "a", "b"], ["x", "x", "y"]) == Agreement(precision=1, recall=1, rand=1, v_measure=1)
    alike = compare(["a", "a", "a", "b", "b", "b"], ["x", "x", "y", "y", "z", "z"])
    assert (alike.precision, alike.recall) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (alike.rand, alike.v_measure) == (pytest.approx(0.242424, abs=1e-6), pytest.approx(0.5158, abs=1e-4))


def test_tool_errors_of_real_runs_are_grouped_as_a_person_does(
    store: TraceStore, fixtures_folder: Path, tmp_path: Path
) -> None:
    if not (fixtures_folder / "tau_bench").is_dir():
        pytest.skip("no tau_bench among the fixtures")
    from benchmarks.analysis import compare, export_of_runs, grouped_errors, label_of

    errors = grouped_errors(export_of_runs(store, tmp_path / "export", fixtures_folder))
    assert len(errors) == 34
    alike = compare([label_of(text) for text, _ in errors], [group for _, group in errors])
    assert alike.precision == 1.0
    assert alike.rand > 0.9 and alike.v_measure > 0.9 and alike.recall > 0.9
