"""``pilothouse pull`` against a real server: the folder, syncing it, and what happens to it when things go wrong."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, cli, live  # noqa: F401  # fixtures
from tests.intake.otlp_requests import PROTOBUF, spans, traces
from tests.live import LiveServer

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*|README\.md|\.(lock|pull\.json)")


def pulled(cli: Cli, *words: str) -> dict[str, Any]:  # noqa: F811
    return cli("pull", *words).data


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def the_trace(folder: Path) -> Path:
    (found,) = folder.glob("traces/*/*")
    return found


def test_a_trace_is_a_folder_to_read(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    trace_id = live.sql("SELECT trace_id FROM traces WHERE tool_calls > 0 AND model_calls > 1 ORDER BY 1 LIMIT 1")[0][0]
    answer = pulled(cli, trace_id, "out")
    assert (answer["traces"], answer["complete"]) == (1, True)
    folder = tmp_path / "out"
    trace = the_trace(folder)
    names = {str(path.relative_to(trace)) for path in trace.rglob("*") if path.is_file()}
    assert {
        "trace.md",
        "tree.txt",
        "transcript.md",
        "spans.jsonl",
        "messages.jsonl",
        "preview.json",
        "code.json",
    } <= names
    assert any(name.startswith("prompts/") for name in names)
    for name in ("trace.md", "tree.txt", "preview.json"):
        assert len((trace / name).read_text()) <= 10_001
    assert (trace / "trace.md").read_text().startswith(f"# trace {trace_id}")

    rows = lines(trace / "spans.jsonl")
    stored = live.sql(f"SELECT step, span_id FROM spans WHERE trace_id = '{trace_id}' ORDER BY step")
    assert [(int(row["step"]), row["span_id"]) for row in rows] == [tuple(row) for row in stored]
    said = {row["id"] for row in lines(trace / "messages.jsonl")}
    used = {ref for row in rows for slot in ("input_messages", "output_messages") for ref in row.get(slot, ())}
    assert used and used == said
    for row in rows:
        for value in row.values():
            if isinstance(value, dict) and "$ref" in value:
                assert len((trace / value["$ref"]).read_text()) == value["chars"]

    for path in folder.rglob("*"):
        assert all(NAME.fullmatch(part) for part in path.relative_to(folder).parts), path
        if path.is_file() and path.suffix in (".md", ".jsonl", ".json", ".txt"):
            assert b"\r" not in path.read_bytes()
            assert str(tmp_path).encode() not in path.read_bytes()


def test_every_trace_of_a_filter_and_sqlite_agree_with_the_server(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    answer = pulled(cli, "spans>0", "all", "--since", "2020-01-01")
    server = live.sql("SELECT count(), sum(spans), sum(errors) FROM traces")[0]
    database = sqlite3.connect(tmp_path / "all/index.db")
    mine = database.execute("SELECT count(*), sum(spans), sum(errors) FROM traces").fetchone()
    assert answer["traces"] == server[0] == len(lines(tmp_path / "all/index.jsonl"))
    assert [int(value) for value in mine] == [int(value) for value in server]
    assert database.execute("SELECT count(*) FROM spans").fetchone()[0] == int(server[1])
    word = live.sql("SELECT content FROM messages WHERE role = 'user' AND length(content) > 20 ORDER BY hash LIMIT 1")[
        0
    ][0]
    first = re.findall(r"[a-z]{5,}", word.lower())[0]
    assert database.execute("SELECT count(*) FROM words WHERE words MATCH ?", (first,)).fetchone()[0] > 0
    assert len((tmp_path / "all/index.md").read_text()) <= 10_000
    assert len((tmp_path / "all/README.md").read_text()) <= 4_000
    assert all(len(line) < 900 for line in (tmp_path / "all/index.jsonl").read_text().splitlines())
    queries = re.findall(r"^(?:SELECT|WITH).*;$", (tmp_path / "all/schema.md").read_text(), re.MULTILINE)
    assert len(queries) >= 10
    for query in queries:
        database.execute(query).fetchall()


def test_the_same_trace_gives_the_same_bytes(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    for name in ("one", "two"):
        pulled(cli, "last", name)
    first, second = ((tmp_path / name / "folders.sha256").read_text() for name in ("one", "two"))
    assert first == second


def test_what_comes_late_arrives_and_nothing_is_fetched_twice(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    def send(*names: str) -> None:
        rows = [span | {"name": name} for span, name in zip(spans(len(names)), names, strict=True)]
        request = traces(*rows, resource={"service.name": "late"})
        import urllib.request

        headers = {"content-type": PROTOBUF, "authorization": f"Bearer {live.key}"}
        urllib.request.urlopen(
            urllib.request.Request(live.url + "/v1/traces", data=request.SerializeToString(), headers=headers)
        )

    send("first")
    live.wait_for("SELECT count() FROM spans WHERE service = 'late'", 1)
    assert pulled(cli, "service:late", "late", "--since", "2000-01-01")["traces"] == 1
    assert pulled(cli, "--again", "late")["traces"] == 0
    send("first", "second")
    live.wait_for("SELECT sum(spans) FROM traces WHERE service = 'late'", 2)
    again = pulled(cli, "--again", "late")
    assert (again["traces"], again["counts"]["traces"], again["counts"]["spans"]) == (1, 1, 2)
    assert [row["name"] for row in lines(the_trace(tmp_path / "late") / "spans.jsonl")] == ["first", "second"]
    assert pulled(cli, "service:late", "late", "--since", "2000-01-01", "--fresh")["traces"] == 1


def test_content_meta_holds_no_text(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    answer = pulled(cli, "spans>0", "meta", "--since", "2020-01-01", "--content", "meta")
    assert answer["traces"] > 5
    texts = live.sql("SELECT DISTINCT content FROM messages WHERE length(content) > 30 LIMIT 200")
    everything = "".join(
        path.read_text() for path in (tmp_path / "meta").rglob("*") if path.suffix in (".jsonl", ".json", ".md", ".txt")
    )
    assert not [text for (text,) in texts if json.dumps(text)[1:31] in everything]


def test_verify_finds_what_was_changed(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    pulled(cli, "last", "out")
    assert cli("pull", "--verify", "out").data["sound"]
    trace = the_trace(tmp_path / "out")
    (trace / "spans.jsonl").write_text("{}\n")
    (trace / "extra.txt").write_text("x")
    result = cli("pull", "verify", "out")
    assert result.code == 6
    assert [Path(name).name for name in result.error["got"]] == ["spans.jsonl", "extra.txt"]


def test_a_killed_pull_goes_on(live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    command = [sys.executable, "-m", "pilothouse.cli", "pull", "spans>0", "out", "--since", "2020-01-01"]
    process = subprocess.Popen(command, cwd=tmp_path, env=live.environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob("out/traces/*/*")):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=tmp_path, env=live.environment, check=True, stdout=subprocess.DEVNULL)
    assert not list(tmp_path.glob("out/.new-*"))
    total = live.sql("SELECT count() FROM traces")[0][0]
    assert len(lines(tmp_path / "out/index.jsonl")) == total == len(list(tmp_path.glob("out/traces/*/*")))
    verify = [sys.executable, "-m", "pilothouse.cli", "pull", "--verify", "out"]
    assert subprocess.run(verify, cwd=tmp_path, env=live.environment, stdout=subprocess.DEVNULL).returncode == 0


def test_mistakes_say_what_to_do(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    assert cli("pull").error["fix"] == "pilothouse pull last"
    assert cli("pull", "agnet:x").code == 2
    assert cli("pull", "0" * 32).code == 3
    assert cli("pull", "--again", "nowhere").code == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    assert "not empty" in cli("pull", "last", "full").error["message"]
    pulled(cli, "last", "out")
    assert "another export" in cli("pull", "status:error", "out").error["message"]
    if os.getuid():
        assert cli("pull", "last", "/proc/nowhere").code != 0


def test_a_session_holds_all_its_traces(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    session, count = live.sql(
        "SELECT session_id, count() FROM traces WHERE session_id != '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
    )[0]
    assert pulled(cli, f"session:{session}", "talk")["traces"] == count
    digest = hashlib.sha256((tmp_path / "talk/README.md").read_bytes()).hexdigest()
    manifest = json.loads((tmp_path / "talk/manifest.json").read_text())
    assert (manifest["files"]["README.md"]["sha256"], manifest["status"]) == (digest, "complete")


def test_lines_are_on_disk_and_in_the_index(cli: Cli, live: LiveServer, tmp_path: Path) -> None:  # noqa: F811
    trace, span, start = live.sql(
        "SELECT trace_id, span_id, toUnixTimestamp64Nano(start_time) FROM spans ORDER BY start_time DESC, step LIMIT 1"
    )[0]
    record = {"timeUnixNano": str(start), "severityNumber": 17, "body": {"stringValue": "zebra crossed the road"}}
    record |= {"traceId": trace, "spanId": span}
    live.post("/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    live.wait_for(f"SELECT count() FROM logs WHERE trace_id = '{trace}'", 1)
    assert cli("pull", trace, "out").data["counts"]["logs"] >= 1
    (file,) = tmp_path.glob("out/traces/*/*/logs.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    mine = next(line for line in lines if line.get("body") == "zebra crossed the road")
    assert (mine["match"], mine["confidence"], mine["span_id"]) == ("trace_id", "certain", span)
    database = sqlite3.connect(tmp_path / "out/index.db")
    found = database.execute("SELECT step, what FROM words WHERE words MATCH 'zebra'").fetchall()
    assert found == [(mine["step"], "log")]
    assert database.execute("SELECT match, confidence FROM logs WHERE body LIKE 'zebra%'").fetchall() == [
        ("trace_id", "certain")
    ]
    database.close()
    told = cli("logs", trace).data
    assert [row["body"] for group in told["groups"] for row in group["rows"]] == [
        line["body"] for line in lines if line.get("match") != "time" and "cut" not in line
    ]


def test_progress_is_for_eyes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from pilothouse.cli import pull

    for terminal in (True, False):
        screen = io.StringIO()
        monkeypatch.setattr(screen, "isatty", lambda there=terminal: there)
        monkeypatch.setattr(sys, "stderr", screen)
        pull._progress(10)(5, 30)
        pull._clear_progress()
        assert ("15 of 40 traces" in screen.getvalue()) == terminal == bool(screen.getvalue())
