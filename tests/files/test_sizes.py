"""What is read first is small, however long the trace: measured on real runs, and on one that has too much of all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.export_sizes import measure, report

from pilothouse.files.folder import ExportFolder
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.store import TraceStore
from tests.traces.support import NOW_NS, PROJECT, TraceBuilder, said, trace_id

SHORT = ("trace.md", "tree.txt", "preview.json")


def test_real_runs_cost_little_to_read(fixtures_folder: Path, tmp_path: Path) -> None:
    runs = json.loads((fixtures_folder / "tau_bench/gpt-4o-airline_10tasks.json").read_text())[:6]
    sizes, _, _ = measure(tmp_path, runs)
    assert all(max(sizes[name]) <= 10_000 for name in SHORT)
    # Each message once is several times less than the prompt with every call, a line a step far less.
    assert sum(sizes["transcript.md"]) * 4 < sum(sizes["spans as sent"])
    assert sum(sizes["tree.txt"]) * 20 < sum(sizes["spans as sent"])


def test_without_the_runs_the_benchmark_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_FIXTURES", str(tmp_path / "none"))
    assert "PILOTHOUSE_FIXTURES" in next(report(tmp_path))


def test_short_files_stay_short_on_a_long_and_wordy_trace(store: TraceStore, tmp_path: Path) -> None:
    trace = TraceBuilder(trace_id(1))
    trace.span(1, "agent", "ä" * 3_000, input=[said("user", "ü" * 30_000)], output=[said("assistant", "ß" * 30_000)])
    for number in range(2, 400):
        failed = {"status": "error", "error_type": "T" * 500, "error_message": "é" * 5_000} if number % 7 == 0 else {}
        name = f"tool_{number}_" + "n" * 300
        trace.span(number, "tool", parent=number - 1, at_ms=number, tool_name=name, input_text="{" * 2_000, **failed)
    trace.store(store)
    spec = ExportSpec(kind="trace", id=trace.id)
    folder = ExportFolder(tmp_path / "out", spec)
    folder.take(stream(store, PROJECT, spec, now_ns=NOW_NS))
    folder.finish(complete=True)
    folder.close()
    (place,) = (tmp_path / "out").glob("traces/*/*")
    for name in SHORT:
        assert len((place / name).read_text()) <= 10_001, name
    for name, most in (("README.md", 4_000), ("index.md", 10_000), ("schema.md", 8_000)):
        assert len((tmp_path / "out" / name).read_text()) <= most, name
