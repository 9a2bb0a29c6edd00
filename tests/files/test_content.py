"""What hostile and binary content becomes in an export: plain names, no base64, no path of anybody's machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pilothouse.files.binaries import lift, without
from pilothouse.files.folder import ExportFolder, verify
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.records import Message, Part
from pilothouse.store import TraceStore
from tests.traces.support import NOW_NS, PROJECT, TraceBuilder, said, trace_id

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
WAVE = b"RIFF\x00\x00\x00\x00WAVE" + bytes(range(256)) * 4
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*|README\.md|\.(lock|pull\.json)")


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def hostile(store: TraceStore) -> TraceBuilder:
    trace = TraceBuilder(trace_id(1), agent="../..\\Агент\x1b[31m ✨ con", session="../../etc/🙂 passwd\r\n")
    picture = Message(
        role="user", parts=(Part(type="media", mime="image/png", uri=url(PNG)), Part(type="text", text="what is it?"))
    )
    trace.span(
        1,
        "agent",
        agent="../..\\Агент",
        input=[picture],
        output=[said("assistant", "an\r\nimage " + url(PNG))],
        resource={
            "service.version": "7.1",
            "vcs.ref.head.revision": "abc123",
            "process.working_directory": "/srv/alice/app",
        },
        attributes={
            "code.file.path": "/srv/alice/app/agents/desk.py",
            "code.line.number": "42",
            "code.function.name": "desk",
        },
        scope_name="tests",
        scope_version="1",
    )
    trace.span(
        2,
        "tool",
        parent=1,
        at_ms=2,
        tool_name="../../etc/passwd",
        input_text=json.dumps({"sound": base64.b64encode(WAVE).decode()}),
        output_text=json.dumps({"image": url(PNG), "long": "y" * 3_000}),
        attributes={
            "code.filepath": "C:\\Users\\alice\\shop\\tools\\pay.py",
            "code.lineno": "7",
            "code.function": "pay",
            "code.namespace": "shop.Till",
            "photo": url(PNG),
            "long/../key": "z" * 5_000,
            "feature_flag.key": "new-till",
            "feature_flag.result.variant": "on",
        },
        prompt_name="till",
        prompt_version="3",
        links=json.dumps([{"trace_id": "ef" * 16, "span_id": "12" * 8, "attributes": {"why": "retry"}}]),
        status="error",
        error_type="Timeout",
        error_stack='Traceback (most recent call last):\n  File "/srv/alice/venv/lib/python3.12/site-packages/httpx/_client.py", '
        'line 9, in send\n  File "/data/alice/shop/tools/net.py", line 88, in fetch\n    x\nTimeout',
    )
    trace.event(2, "seen", picture=url(PNG), text="w" * 4_000)
    return trace


def exported(store: TraceStore, path: Path, content: Any = "full") -> Path:
    spec = ExportSpec(kind="query", since="7d", content=content)
    folder = ExportFolder(path, spec)
    pulled = folder.take(stream(store, PROJECT, spec, now_ns=NOW_NS))
    folder.finish(complete=pulled.complete)
    folder.close()
    assert verify(path).sound
    return next(path.glob("traces/*/*"))


def test_hostile_content_stays_inside_and_no_base64_is_read(store: TraceStore, tmp_path: Path) -> None:
    hostile(store).store(store)
    trace = exported(store, tmp_path / "out")
    begun = {base64.b64encode(data).decode()[:48] for data in (PNG, WAVE)}
    for path in (tmp_path / "out").rglob("*"):
        assert all(NAME.fullmatch(part) for part in path.relative_to(tmp_path / "out").parts), path
        if path.is_file() and path.suffix in (".md", ".jsonl", ".json", ".txt"):
            text = path.read_bytes().decode()
            assert not [one for one in begun if one in text], path
            assert str(tmp_path) not in text
            if path.parent.name != "payloads":
                assert "\r" not in text and "\x1b" not in text, path
    for data, end in ((PNG, "png"), (WAVE, "wav")):
        file = trace / "payloads" / f"{hashlib.sha256(data).hexdigest()[:24]}.{end}"
        assert file.read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_media_and_long_values_are_referred_to(store: TraceStore, tmp_path: Path) -> None:
    hostile(store).store(store)
    trace = exported(store, tmp_path / "out")
    messages = [json.loads(line) for line in (trace / "messages.jsonl").read_text().splitlines()]
    (media,) = messages[0]["media"]
    assert (media["type"], media["bytes"]) == ("image/png", len(PNG))
    assert (trace / media["$ref"]).read_bytes() == PNG
    tool = [json.loads(line) for line in (trace / "spans.jsonl").read_text().splitlines()][1]
    assert "(binary payloads/" in tool["attributes"]["photo"]
    assert (trace / tool["attributes"]["long/../key"]["$ref"]).read_text() == "z" * 5_000
    assert tool["events"][0]["attributes"]["text"]["chars"] == 4_000
    database = sqlite3.connect(tmp_path / "out/index.db")
    found = database.execute("SELECT path FROM payloads WHERE type = 'image/png'").fetchall()
    assert found == [(media["$ref"],)]
    database.close()


def test_code_is_named_with_file_and_line_and_never_absolute(store: TraceStore, tmp_path: Path) -> None:
    hostile(store).store(store)
    for content in ("full", "meta"):
        trace = exported(store, tmp_path / content, content)
        text = (trace / "code.json").read_text()
        code = json.loads(text)
        made = {part["kind"]: (part["file"], part["line"], part["function"]) for part in code["components"]}
        assert made == {
            "agent": ("agents/desk.py", 42, "desk"),
            "tool": ("alice/shop/tools/pay.py", 7, "shop.Till.pay"),
        }
        assert code["raised"] == [
            {"step": "002", "error": "Timeout", "file": "alice/shop/tools/net.py", "line": 88, "function": "fetch"}
        ]
        assert (code["releases"], code["revisions"], code["prompts"]) == (["7.1"], ["abc123"], ["till@3"])
        assert code["feature_flags"] == ["new-till=on"]
        assert "/srv" not in text and "C:" not in text
        spans = [json.loads(line) for line in (trace / "spans.jsonl").read_text().splitlines()]
        assert [span["code"] for span in spans] == ["agents/desk.py:42", "alice/shop/tools/pay.py:7"]
        assert all(":\\" not in span.get("attributes", {}).get("code.filepath", "") for span in spans)
    database = sqlite3.connect(tmp_path / "full/index.db")
    row = database.execute("SELECT name, file, line, failed FROM code WHERE kind = 'tool'").fetchone()
    assert row == ("../../etc/passwd", "alice/shop/tools/pay.py", 7, 1)
    assert database.execute("SELECT step, to_trace, to_span FROM links").fetchall() == [("002", "ef" * 16, "12" * 8)]
    database.close()
    links = json.loads((next((tmp_path / "full").glob("traces/*/*")) / "links.json").read_text())
    assert links[0]["attributes"] == {"why": "retry"}


def test_meta_holds_no_content(store: TraceStore, tmp_path: Path) -> None:
    hostile(store).store(store)
    trace = exported(store, tmp_path / "out", "meta")
    names = {path.name for path in trace.iterdir()}
    assert names == {"spans.jsonl", "code.json", "links.json", "files.sha256"}
    everything = "".join(path.read_text() for path in trace.iterdir())
    assert not [word for word in ("what is it", "zzzz", "wwww", "retry", "photo") if word in everything]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 4_000, "x" * 4_000),
        ("data:text/plain,hello;base64,", "data:text/plain,hello;base64,"),
        ("ab" * 400 + "=", "ab" * 400 + "="),
    ],
)
def test_what_only_looks_like_base64_stays(text: str, expected: str) -> None:
    assert lift(text) == (expected, [])
    assert without(text) == expected


def test_urls_of_any_shape_are_lifted() -> None:
    text, found = lift(f"a {url(PNG, 'image/png;charset=x;name=y')} b {url(WAVE, '')} c")
    assert [(one.type, one.data) for one in found] == [("image/png", PNG), ("audio/wav", WAVE)]
    assert text.startswith("a (binary payloads/") and text.endswith(" c")
    assert ";base64," not in without(f"head {url(PNG)[:200]}…")
