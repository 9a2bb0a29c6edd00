"""OTLP files of every writing are sent on as they are, cut to what the server takes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from pilothouse.imports import otlp_files
from pilothouse.imports.trajectory import Foreign, Item, Posted

from .support import read_text, skipped


def spans(number: int, padding: str = "") -> dict[str, Any]:
    made = [
        {
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": f"{place + 1:016x}",
            "name": f"work {place}{padding}",
            "startTimeUnixNano": "1700000000000000000",
            "endTimeUnixNano": "1700000001000000000",
        }
        for place in range(number)
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}


def posted(items: list[Item]) -> list[Posted]:
    return [item for item in items if isinstance(item, Posted)]


def traces_message(number: int = 1) -> TracesData:
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for place in range(number):
        scope.spans.add(trace_id=b"t" * 16, span_id=bytes([place + 1]) * 8, name="work", start_time_unix_nano=5)
    return data


def test_json_lines_are_one_request_a_line(tmp_path: Path) -> None:
    lines = f"{json.dumps(spans(2))}\n\n{json.dumps({'resourceLogs': [{'scopeLogs': [{'logRecords': [{}]}]}]})}\n"
    for name, content in (
        ("a.jsonl", lines.encode()),
        ("a.json", lines.encode()),
        ("a.jsonl.gz", gzip.compress(lines.encode())),
    ):
        found = posted(read_text("otlp", tmp_path, content, name))
        assert [(item.signal, item.items) for item in found] == [("traces", 2), ("logs", 1)]
        assert json.loads(found[0].body) == spans(2)
        assert found[0].traces == {"5b8efff798038103d269b633813fc60c"}


def test_a_document_may_be_written_over_many_lines(tmp_path: Path) -> None:
    (found,) = posted(read_text("otlp", tmp_path, json.dumps(spans(3), indent=2)))
    assert (found.signal, found.items, found.content_type) == ("traces", 3, "application/json")
    assert len(posted(read_text("otlp", tmp_path, json.dumps([spans(1), spans(1)])))) == 2


def test_old_names_of_the_fields_are_read(tmp_path: Path) -> None:
    (found,) = posted(read_text("otlp", tmp_path, json.dumps({"resource_spans": spans(1)["resourceSpans"]})))
    assert json.loads(found.body) == spans(1)


def test_a_broken_line_does_not_stop_the_others(tmp_path: Path) -> None:
    text = f'{{"resourceSp\n{json.dumps(spans(1))}\n{{"other": 1}}\n{json.dumps(spans(1))}'
    items = read_text("otlp", tmp_path, text)
    assert [item.where for item in skipped(items)] == ["line 1", "line 3"]
    assert len(posted(items)) == 2


def test_what_is_too_large_for_one_request_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_files, "BODY_BYTES_MAX", 20_000)
    found = posted(read_text("otlp", tmp_path, json.dumps(spans(100, "x" * 1_000))))
    assert len(found) > 5 and sum(item.items for item in found) == 100
    assert all(len(item.body) < 25_000 for item in found)


def test_protobuf_of_each_signal_is_told_apart(tmp_path: Path) -> None:
    logs = LogsData()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, severity_text="INFO")
    metrics = MetricsData()
    # A name of sixteen letters is as long as a trace's id.
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="sixteen.letters!", description="eight ch")
    for data, signal, items in ((traces_message(3), "traces", 3), (logs, "logs", 1), (metrics, "metrics", 1)):
        content = data.SerializeToString()
        for packed in (content, gzip.compress(content)):
            (found,) = posted(read_text("otlp", tmp_path, packed, "a.binpb"))
            assert (found.signal, found.items, found.body) == (signal, items, content)


def test_protobuf_behind_lengths_is_read_as_the_collector_writes_it(tmp_path: Path) -> None:
    one = traces_message(2).SerializeToString()
    framed = (len(one).to_bytes(4, "big") + one) * 3
    assert [item.items for item in posted(read_text("otlp", tmp_path, framed, "a.pb"))] == [2, 2, 2]
    items = read_text("otlp", tmp_path, framed[:-5], "a.pb")
    assert len(posted(items)) == 2 and [item.where for item in skipped(items)] == ["message 3"]


def test_large_protobuf_is_cut_between_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TracesData()
    for _ in range(20):
        data.resource_spans.append(traces_message(5).resource_spans[0])
    monkeypatch.setattr(otlp_files, "BODY_BYTES_MAX", 600)
    found = posted(read_text("otlp", tmp_path, data.SerializeToString(), "a.pb"))
    assert len(found) > 3 and sum(item.items for item in found) == 100
    for item in found:
        TracesData.FromString(item.body)


@pytest.mark.parametrize(
    "content", [b"", b"   \n", b"{}", b"[]", b'{"a": 1}', b"PK\x03\x04zip", b"\x0a\xff", b"hello", bytes(100)]
)
def test_anything_else_is_foreign(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Foreign):
        read_text("otlp", tmp_path, content, "a.bin")
