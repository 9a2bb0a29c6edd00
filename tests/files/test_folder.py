"""What a folder takes from a stream: only what belongs into it, and only whole traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.files.export_file import safe_path, slug
from pilothouse.files.folder import ExportFolder, verify
from pilothouse.files.payloads import PART_CHARS, Payloads
from pilothouse.files.spec import SCHEMA, ExportSpec, read_spec
from pilothouse.records import BadRequest, Broken, Unreachable

SPEC = ExportSpec(kind="query", text="agent:x", since="7d")
ROW = {"trace_id": "ab" * 16, "status": "ok", "spans": 1, "start_time": "2026-01-01T00:00:00Z"}


def sent(*rows: dict[str, Any]) -> list[bytes]:
    return [json.dumps(row).encode() + b"\n" for row in rows]


def a_trace(
    version: int = 5, *, path: str = "traces/2026-01-01/000000-ab-x/spans.jsonl", folder: str = ""
) -> list[dict[str, Any]]:
    folder = folder or "traces/2026-01-01/000000-ab-x"
    return [
        {"t": "trace", "id": ROW["trace_id"], "version": version, "folder": folder, "row": ROW},
        {"t": "file", "path": path, "text": '{"step":"001","span_id":"1"}\n'},
        {"t": "file", "path": path, "text": '{"step":"002","span_id":"2"}\n', "append": True},
        {"t": "done", "id": ROW["trace_id"], "version": version},
    ]


START = {"t": "start", "schema": SCHEMA, "total": 1}
END = {"t": "end", "more": False}


def opened(path: Path) -> ExportFolder:
    return ExportFolder(path / "out", SPEC)


def test_a_whole_trace_stays(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    pulled = folder.take(sent(START, *a_trace(), END))
    folder.finish(complete=pulled.complete)
    folder.close()
    assert (pulled.traces, pulled.files, pulled.complete) == (1, 1, True)
    assert (tmp_path / "out/traces/2026-01-01/000000-ab-x/spans.jsonl").read_text().count("\n") == 2
    assert verify(tmp_path / "out").sound
    assert opened(tmp_path).watermark == (5, "ab" * 16)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_broken_stream_leaves_whole_traces_only(tmp_path: Path, cut: int) -> None:
    folder = opened(tmp_path)
    with pytest.raises(Unreachable):
        folder.take(sent(START, *a_trace(), END)[:cut])
    assert folder.watermark == (0, "")
    assert not list((tmp_path / "out/traces").glob("*/*"))
    folder.close()
    again = opened(tmp_path)
    assert again.take(sent(START, *a_trace(), END)).traces == 1
    again.close()


def test_a_line_cut_in_the_middle_is_a_broken_stream(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    with pytest.raises(Unreachable):
        folder.take([*sent(START, *a_trace()), b'{"t": "en'])
    assert folder.watermark == (5, "ab" * 16)
    folder.close()


@pytest.mark.parametrize(
    "path",
    ["../evil", "/etc/passwd", "traces/../../evil", "traces/2026-01-01/000000-ab-x/../../../evil", "a\\b", ".bashrc",
     "traces/2026-01-01/000000-ab-x/.hidden", "traces/2026-01-01/other/spans.jsonl", "traces/con/x", ""],
)  # fmt: skip
def test_no_server_writes_outside_of_the_folder(tmp_path: Path, path: str) -> None:
    folder = opened(tmp_path)
    with pytest.raises(BadRequest, match="outside"):
        folder.take(sent(START, *a_trace(path=path), END))
    with pytest.raises(BadRequest, match="outside"):
        folder.take(sent(START, *a_trace(folder=path or ".."), END))
    folder.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@given(st.text(max_size=60))
def test_a_safe_path_never_leads_out(text: str) -> None:
    path = safe_path(text)
    if path is not None:
        root = Path("/exports/one")
        assert (root / path).resolve().is_relative_to(root)
        assert ".." not in path.parts and not path.is_absolute()


@given(st.text() | st.sampled_from(["aux", "CON", "com1"]))
def test_a_slug_is_a_safe_name(text: str) -> None:
    """Also by itself: a session that is called AUX has a folder."""
    assert safe_path(f"sessions/{slug(text)}") is not None


@given(st.text(max_size=200))
def test_any_spec_is_read_or_refused(text: str) -> None:
    try:
        assert read_spec(text).kind in ("trace", "session", "query")
    except BadRequest:
        return


def test_a_spec_is_its_own_folder() -> None:
    assert read_spec(SPEC.canonical) == SPEC
    assert SPEC.folder != ExportSpec(kind="query", text="agent:y", since="7d").folder


def test_another_format_is_refused(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    with pytest.raises(BadRequest, match="another format"):
        folder.take(sent({**START, "schema": "pilothouse.export/9"}))
    folder.close()


def test_two_pulls_do_not_write_at_once(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    with pytest.raises(BadRequest, match="another pull"):
        opened(tmp_path)
    folder.close()


def test_a_broken_state_says_so(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "out/.pull.json").write_text("{}")
    with pytest.raises(Broken):
        opened(tmp_path)
    ExportFolder(tmp_path / "out", SPEC, fresh=True).close()


@pytest.mark.parametrize("newlines", [True, False])
def test_long_values_are_whole_in_parts(newlines: bool) -> None:
    text = ("x" * 99 + "\n" if newlines else "é" * 100) * 15_000
    payloads = Payloads("f")
    shown = payloads.value("001.output", text)
    files = list(payloads.take())
    assert shown["chars"] == len(text) and len(files) > 4
    assert "".join(file.text for file in files) == text
    assert all(len(file.text) <= PART_CHARS for file in files)
    assert [file.path for file in files] == sorted(file.path for file in files)
    assert payloads.value("002.input", "short") == "short"
