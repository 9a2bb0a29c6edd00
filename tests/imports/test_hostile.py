"""Whatever a file holds, reading it ends, within its bounds, and raises nothing but that it is of another kind."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.imports.encode import Labels, score, span
from pilothouse.imports.formats import FORMATS
from pilothouse.imports.sources import Opened, TooMuch, find
from pilothouse.imports.trajectory import Foreign, Item, Scored, Skipped, Step
from pilothouse.records import BadRequest, NotFound

from .support import SAMPLES, read_text, skipped, source

SAMPLE_OF = {
    "claude": "claude/-srv-shop/0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9.jsonl",
    "codex": "codex/2026/05/04/rollout-2026-05-04T10-00-00-01970000-aaaa-7000-8000-000000000001.jsonl",
    "atif": "harbor.trajectory.json",
    "inspect": "inspect/2026-04-01T12-00-00_count-lamps.json",
    "swe-agent": "swe-agent/run-7/shop__shop-12/shop__shop-12.traj",
    "otlp": "collector.jsonl",
}
NAMES = sorted(FORMATS)


def attempt(form: str, folder: Path, content: bytes, name: str) -> list[Item]:
    """Read and encode, as an import does; only :class:`Foreign` may be raised."""
    try:
        items = read_text(form, folder, content, name)
    except Foreign:
        return []
    for item in items:
        if isinstance(item, Step):
            span(item, Labels(format=form))
            assert 0 <= item.start_ns < 2**63 and 0 <= item.end_ns < 2**63
        elif isinstance(item, Scored):
            score(item, Labels(format=form))
    return items


def sample(form: str) -> tuple[bytes, str]:
    path = SAMPLES / SAMPLE_OF[form]
    return path.read_bytes(), path.name


@pytest.mark.parametrize("form", NAMES)
def test_a_sample_cut_anywhere_is_read_as_far_as_it_goes(form: str, tmp_path: Path) -> None:
    content, name = sample(form)
    assert attempt(form, tmp_path, content, name)
    step = max(1, len(content) // 60)
    for end in range(0, len(content), step):
        attempt(form, tmp_path, content[:end], name)


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"type":"user","message":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"\xff\xfe" * 100,
        b'{"type":"assistant","message":{"content":"\xff\xff"}}',
        b"\x00" * 1_000,
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"steps":[1e999,NaN],"agent":{}}',
        b"\xef\xbb\xbf{}",
        b"\n" * 10_000,
        b"\r\n\r\n",
    ],
    ids=["lists", "objects", "deep message", "utf-16", "bytes", "zeros", "digits", "infinite", "mark", "empty", "crlf"],
)
def test_nonsense_is_skipped_or_foreign(form: str, content: bytes, tmp_path: Path) -> None:
    for name in ("file.json", "file.jsonl", "file.eval", "file.traj"):
        assert all(isinstance(item, Skipped) for item in attempt(form, tmp_path, content, name))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            found += _places(inner, (*path, place))
    return found


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: _replaced(inner, path[1:], new) if key == path[0] else inner for key, inner in value.items()}
    return [_replaced(inner, path[1:], new) if place == path[0] else inner for place, inner in enumerate(value)]


@pytest.mark.parametrize("form", NAMES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_in_a_sample_is_survived(form: str, data: st.DataObject, tmp_path: Path) -> None:
    content, name = sample(form)
    lines = [content] if name.endswith((".json", ".traj")) else content.splitlines()
    line = data.draw(st.integers(0, len(lines) - 1))
    told = json.loads(lines[line])
    place = data.draw(st.sampled_from(_places(told)))
    changed = json.dumps(_replaced(told, place, data.draw(_values))).encode()
    attempt(form, tmp_path, b"\n".join([*lines[:line], changed, *lines[line + 1 :]]), name)


HOSTILE = ([], {}, [[]], [{"type": []}], None, True, -1, 1.5, 10**30, -5.5e300, 5.5e300, "", "x", "9" * 40)


@pytest.mark.parametrize("form", NAMES)
def test_the_worst_values_are_survived_at_every_place_of_the_first_lines(form: str, tmp_path: Path) -> None:
    content, name = sample(form)
    lines = [content] if name.endswith((".json", ".traj")) else content.splitlines()
    told = [(position, json.loads(line)) for position, line in enumerate(lines[:3])]
    cases = [(*one, place, value) for one in told for place in _places(one[1]) for value in HOSTILE]
    for position, whole, place, value in cases[:: max(1, len(cases) // 600)]:
        changed = json.dumps(_replaced(whole, place, value)).encode()
        attempt(form, tmp_path, b"\n".join([*lines[:position], changed, *lines[position + 1 :]]), name)


@pytest.mark.parametrize("form", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.json", "a.jsonl", "a.eval", "a.traj", "a.gz"]))
def test_any_bytes_are_survived(form: str, content: bytes, name: str, tmp_path: Path) -> None:
    attempt(form, tmp_path, content, name)


def test_a_line_beyond_the_bound_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"one\n" + b"x" * 5_000_000 + b"\ntwo\n" + b"y" * 3_000_000)
    with Opened(source(path)) as opened:
        found = list(opened.lines(bytes_max=2_000_000))
    assert [line if isinstance(line, tuple) else line.where for line in found] == [
        (1, b"one"),
        "line 2",
        (3, b"two"),
        "line 4",
    ]


def test_a_bomb_is_recognised_before_it_fills_anything(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(bytes(100 << 20), 1))
    assert path.stat().st_size < 500_000
    with Opened(source(path)) as opened, pytest.raises(TooMuch, match="200 times its size"):
        for _ in opened.lines():
            pass
    for form in NAMES:
        try:
            items = list(FORMATS[form].read(source(path)))
        except Foreign:
            continue
        assert all(isinstance(item, Skipped) for item in items)


def test_a_damaged_archive_is_told_of(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(os.urandom(100_000)))
    content[500:600] = bytes(100)
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(content[:50_000])
    with Opened(source(path)) as opened, pytest.raises(TooMuch, match="cannot be unpacked"):
        opened.whole()


def test_a_document_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(bytes(3_000_000))
    with Opened(source(path)) as opened, pytest.raises(TooMuch, match="larger than 1,000,000 bytes"):
        opened.whole(1_000_000)


def test_pipes_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(BadRequest, match="neither a file nor a folder"):
        list(find([tmp_path / "pipe.json"], (".json",)))
    assert list(find([tmp_path], (".json",))) == []
    with pytest.raises(NotFound):
        list(find([tmp_path / "missing"], (".json",)))
    with pytest.raises(NotFound):
        list(find([Path("a\0b")], (".json",)))


def test_folders_are_walked_in_order_and_other_files_left(tmp_path: Path) -> None:
    for name in ("b/2.json", "a/1.json.gz", "a/x.txt", "c.JSON"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [found.name for found in find([tmp_path], (".json",))] == ["c.JSON", "a/1.json.gz", "b/2.json"]


def test_the_skipped_say_where(tmp_path: Path) -> None:
    (item,) = skipped(read_text("atif", tmp_path, "{", "a.json"))
    assert item.where == "file" and "no JSON" in item.reason
