"""What the large-data benchmark counts, it counts rightly; and a preview shows more than the head of a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.large_data import CHARS, first_lines, orders, paths_of, report, shown_paths

from pilothouse.runtime.preview import preview


def test_paths_are_read_off_a_beginning_and_off_a_preview() -> None:
    value = {"a": [{"b": 1, "c": {"d": [1, 2]}}, {"e": None}], "f": "x: [{"}
    there = paths_of(value)
    assert there == {".a", ".a[].b", ".a[].c", ".a[].c.d", ".a[].e", ".f"}
    text = json.dumps(value)
    assert shown_paths(text, there) == there
    assert shown_paths(text[: text.index('"d"')], there) == {".a", ".a[].b", ".a[].c"}
    assert paths_of({"m": {f"k{number}": {"n": 1} for number in range(60)}}) == {".m", ".m.*", ".m.*.n"}


def test_our_preview_shows_every_path_where_the_head_does_not() -> None:
    value = orders(2_000)
    there, raw = paths_of(value), json.dumps(value).encode()
    ours = shown_paths(preview(value, CHARS).text, there)
    assert ours == there
    for other in (raw.decode()[:CHARS], first_lines(raw, CHARS)):
        assert len(shown_paths(other, there)) < len(there)


def test_the_table_is_made(tmp_path: Path) -> None:
    lines = list(report(tmp_path, (0.1,), rounds=1))
    text = "\n".join(lines)
    assert "0.1 MB of orders" in text and "keep and preview" in text and "grep_json" in text
    assert ("the same answer" in text) == (shutil.which("jq") is not None) and "another answer" not in text
