"""Inspect logs are read from JSON and from archives: samples, scorers, scores; archives are never trusted."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pilothouse.imports import inspect_logs
from pilothouse.imports.trajectory import Foreign, Item

from .support import SAMPLES, answer, conversation, read, read_text, scores, skipped, steps

SAMPLE = SAMPLES / "inspect/2026-04-01T12-00-00_count-lamps.json"


def log() -> dict[str, Any]:
    return json.loads(SAMPLE.read_text())


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return out.getvalue()


def zstd_archive(members: dict[str, bytes]) -> bytes:
    """A zip whose members are packed with method 93, as newer versions of Inspect write them."""
    body, index = b"", b""
    for name, content in members.items():
        packed, path = zstandard.compress(content), name.encode()
        common = struct.pack(
            "<HHHHHIIIHH", 63, 0, 93, 0, 33, zlib.crc32(content), len(packed), len(content), len(path), 0
        )
        index += b"PK\x01\x02" + struct.pack("<H", 63) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + path
        body += b"PK\x03\x04" + common + path + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(index), len(body), 0)
    return body + index + b"PK\x05\x06" + end


def members() -> dict[str, bytes]:
    told = log()
    samples = {
        f"samples/{one['id']}_epoch_{one['epoch']}.json": json.dumps(one).encode() for one in told.pop("samples")
    }
    return {"_journal/start.json": b"{}", "header.json": json.dumps(told).encode(), **samples, "summaries.json": b"[]"}


def told_apart(items: list[Item]) -> set[tuple[str, str, str]]:
    return {(step.trace, step.id, step.parent) for step in steps(items)}


def test_a_sample_is_a_trace_with_its_agents_and_scorers() -> None:
    items = read("inspect", SAMPLE)
    found = {step.id: step for step in steps(items) if step.trace == "Zx81sample"}
    root, agent, scorer = found["sample"], found["span:s1"], found["span:s2"]
    assert (root.agent, root.session, root.tags, root.parent) == ("shop/count_lamps", "evalAbc", ("nightly",), "")
    assert root.input_value.startswith("How many lamps are there?") and root.output_value == "40"
    assert (agent.kind, agent.agent, agent.parent, agent.end_ns - agent.start_ns) == (
        "agent",
        "counter",
        "sample",
        7 * 10**9,
    )
    assert (scorer.kind, scorer.name) == ("evaluator", "scorer model_graded")
    assert {step.parent for id, step in found.items() if id in ("model:e1", "tool:e2", "model:e3")} == {"span:s1"}


def test_calls_carry_the_pooled_messages_and_usage() -> None:
    items = read("inspect", SAMPLE)
    found = {step.id: step for step in steps(items, "model")}
    first, second, cached = found["model:e1"], found["model:e3"], found["model:e5"]
    assert conversation(first)[0] == ("system", "Answer with a number.")
    assert conversation(first)[1][1].startswith("How many lamps are there?")
    assert conversation(second)[2:] == [("assistant", "I count. count#tc1"), ("tool", "#tc1=40")]
    assert answer(second) == [("assistant", "(forty) 40")]
    assert (first.model, first.provider) == ("claude-sonnet-4-5-20250929", "anthropic")
    tokens = first.tokens
    # The total says that cached tokens stand beside the input.
    assert tokens is not None and (tokens.input, tokens.cache_read, tokens.cache_write, tokens.output) == (
        610,
        500,
        100,
        30,
    )
    # What came from Inspect's own cache was not paid for again.
    assert cached.tokens is None


def test_tools_have_results_and_failures() -> None:
    tools = {step.call_id: step for step in steps(read("inspect", SAMPLE), "tool")}
    assert (tools["tc1"].tool, tools["tc1"].output_value, tools["tc1"].tool_error) == ("count", "40", "")
    assert tools["tc2"].tool_error == "Command timed out."


def test_scores_are_scores() -> None:
    found = {(score.trace, score.name): (score.value, score.label) for score in scores(read("inspect", SAMPLE))}
    assert {name: value for (trace, name), value in found.items() if trace == "Zx81sample"} == {
        "match": (1.0, "C"),
        "grade.tone": (0.5, ""),
        "grade.length": (3.0, ""),
        "safe": (1.0, "true"),
    }


def test_a_sample_without_events_is_told_from_its_messages() -> None:
    found = [step for step in steps(read("inspect", SAMPLE)) if step.trace != "Zx81sample"]
    (call,) = [step for step in found if step.kind == "model"]
    (root,) = [step for step in found if step.kind == "agent"]
    assert (conversation(call), answer(call)) == ([("user", "Say yes.")], [("assistant", "no")])
    assert (root.error, root.tokens is not None and root.tokens.input) == ("the sandbox died", 9)


@pytest.mark.parametrize("make", [archive, zstd_archive])
def test_an_archive_gives_what_the_json_gives(make: Any, tmp_path: Path) -> None:
    items = read_text("inspect", tmp_path, make(members()), "log.eval")
    assert told_apart(items) == told_apart(read("inspect", SAMPLE))
    assert skipped(items) == []


def test_an_evaluation_that_crashed_has_its_journal(tmp_path: Path) -> None:
    told = members()
    told["_journal/start.json"] = told.pop("header.json")
    assert told_apart(read_text("inspect", tmp_path, archive(told), "log.eval")) == told_apart(read("inspect", SAMPLE))


def test_a_bomb_is_cut_off_and_the_other_samples_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_logs, "DOCUMENT_BYTES_MAX", 1_000_000)
    for make in (archive, zstd_archive):
        told = {**members(), "samples/bomb_epoch_1.json": bytes(30_000_000)}
        items = read_text("inspect", tmp_path, make(told), "log.eval")
        assert [(one.where, one.reason) for one in skipped(items)] == [
            ("samples/bomb_epoch_1.json", "unpacks to more than 1,000,000 bytes")
        ]
        assert told_apart(items) == told_apart(read("inspect", SAMPLE))


def test_all_members_together_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_logs, "_TOTAL_BYTES_MIN", 100_000)
    monkeypatch.setattr(inspect_logs, "_TOTAL_RATIO", 1)
    told = {
        **members(),
        **{f"samples/{n}_epoch_1.json": json.dumps({"id": n, "pad": " " * 40_000}).encode() for n in range(9)},
    }
    items = read_text("inspect", tmp_path, archive(told), "log.eval")
    assert len(skipped(items)) >= 5


def test_names_that_reach_outside_are_nothing_but_names(tmp_path: Path) -> None:
    sample = members()["samples/lamps_epoch_1.json"]
    told = {
        **members(),
        "samples/../../../escaped.json": sample,
        "/etc/owned.json": sample,
        "samples/\\..\\x.json": b"{",
    }
    items = read_text("inspect", tmp_path, archive(told), "log.eval")
    assert [path.name for path in tmp_path.rglob("*")] == ["log.eval"]
    assert [one.where for one in skipped(items)] == ["samples/\\..\\x.json"]


def test_damage_is_named_member_by_member(tmp_path: Path) -> None:
    for make in (archive, zstd_archive):
        content = bytearray(make(members()))
        place = content.index(b"samples/lamps_epoch_1.json") + 60
        content[place : place + 40] = bytes(40)
        items = read_text("inspect", tmp_path, bytes(content), "log.eval")
        assert [one.where for one in skipped(items)] == ["samples/lamps_epoch_1.json"]
        assert "damaged" in skipped(items)[0].reason
        assert len(steps(items, "agent")) == 1
    items = read_text("inspect", tmp_path, bytes(make(members())[:-30]), "log.eval")
    assert [one.where for one in skipped(items)] == ["file"]


def test_samples_in_chunks_are_named_as_not_read(tmp_path: Path) -> None:
    told = {**members(), "samples/big_epoch_1/sample.json": b"{}", "samples/big_epoch_1/events/0.json": b"[]"}
    items = read_text("inspect", tmp_path, archive(told), "log.eval")
    assert [one.where for one in skipped(items)] == ["samples/big_epoch_1/sample.json"]


@pytest.mark.parametrize("content", [archive({"word/document.xml": b"<a/>"}), b'{"version": 2}', b"[]"])
def test_other_archives_and_documents_are_foreign(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Foreign):
        read_text("inspect", tmp_path, content, "a.json")
