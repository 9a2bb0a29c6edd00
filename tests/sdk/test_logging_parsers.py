"""What log lines say is understood: formats, times, levels, ids; and no line makes a parser raise or dawdle."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.sdk.log_files import LINE_BYTES_MAX, Joiner, LineReader, Record
from pilothouse.sdk.log_formats import FORMATS, Format, parse, starts_record
from pilothouse.sdk.log_journald import journal_line
from pilothouse.sdk.log_line import ids_in, plain_key, read_time, severity_number, severity_word

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
NOW = datetime(2026, 11, 21, 3, 0, 0, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


def ns(*parts: int, nanos: int = 0) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9 + nanos  # type: ignore[misc, arg-type]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times without a zone are local; here local is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-21T03:00:00Z", ns(2026, 11, 21, 3)),
        ("2026-11-21T03:00:00.123456789Z", ns(2026, 11, 21, 3, nanos=123_456_789)),
        ("2026-11-21 03:00:00,5", ns(2026, 11, 21, 3, nanos=500_000_000)),
        ("2026-11-21T03:00:00+02:00", ns(2026, 11, 21, 1)),
        ("2026-11-21T03:00:00.1-0730", ns(2026, 11, 21, 10, 30, nanos=100_000_000)),
        ("2026/11/21 03:00:00", ns(2026, 11, 21, 3)),
        ("21/Nov/2026:03:00:00 +0000", ns(2026, 11, 21, 3)),
        ("Nov 20 23:59:59", ns(2026, 11, 20, 23, 59, 59)),
        ("Dec 31 23:59:59", ns(2025, 12, 31, 23, 59, 59)),
        ("Sat Nov 21 03:00:00 2026", ns(2026, 11, 21, 3)),
        ("Sat, 21 Nov 2026 03:00:00 GMT", ns(2026, 11, 21, 3)),
        (1_795_230_000, ns(2026, 11, 21, 3)),
        ("1795230000", ns(2026, 11, 21, 3)),
        (1_795_230_000.25, ns(2026, 11, 21, 3, nanos=250_000_000)),
        (1_795_230_000_123, ns(2026, 11, 21, 3, nanos=123_000_000)),
        (1_795_230_000_123_456, ns(2026, 11, 21, 3, nanos=123_456_000)),
        (1_795_230_000_123_456_789, ns(2026, 11, 21, 3, nanos=123_456_789)),
        ("2026-02-30T00:00:00Z", 0),
        ("yesterday", 0),
        (True, 0),
        (float("nan"), 0),
        (7, 0),
        (None, 0),
    ],
)
def test_a_time_in_any_usual_form_is_read(given: object, expected: int) -> None:
    assert read_time(given, now_ns=NOW_NS) == expected


@pytest.mark.parametrize(
    ("word", "number"),
    [("WARNING", 13), ("[error]", 17), ("Err", 17), ("critical", 21), ("dbug", 5), ("notice", 10), ("50", 17), ("", 0)],
)
def test_a_level_in_words_is_read(word: str, number: int) -> None:
    assert severity_word(word).number == number


@pytest.mark.parametrize(
    ("number", "key", "expected"),
    [
        (30, "level", 9),
        (50, "level", 17),
        (60, "level", 21),
        (3, "priority", 17),
        (7, "priority", 5),
        (40, "levelno", 17),
        (10, "levelno", 5),
        (20, "levelno", 9),
        (17, "severitynumber", 17),
        (999, "level", 0),
    ],
)
def test_a_level_in_numbers_is_read_by_who_writes_it(number: int, key: str, expected: int) -> None:
    assert severity_number(number, key).number == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": TRACE, "span_id": SPAN},
        {"traceId": TRACE.upper(), "spanId": SPAN},
        {"otelTraceID": TRACE, "otelSpanID": SPAN},
        {"trace.id": TRACE, "span.id": SPAN},
        {"traceparent": f"00-{TRACE}-{SPAN}-01"},
        {"http.request.header.traceparent": f'["00-{TRACE}-{SPAN}-01"]'},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN},
        {"b3": f"{TRACE}-{SPAN}-1"},
        {"uber-trace-id": f"{TRACE}:{SPAN}:0:1"},
        {"X-Amzn-Trace-Id": f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1"},
        {"logging.googleapis.com/trace": f"projects/p/traces/{TRACE}", "logging.googleapis.com/spanId": SPAN},
        {"X-Cloud-Trace-Context": f"{TRACE}/{int(SPAN, 16)};o=1"},
        {"trace_id": "0af76519-16cd-43dd-8448-eb211c80319c", "span_id": f"0x{SPAN}"},
        {"dd.trace_id": TRACE, "dd.span_id": str(int(SPAN, 16))},
        {"dd.trace_id": str(int(TRACE[16:], 16)), "_dd.p.tid": TRACE[:16], "dd.span_id": str(int(SPAN, 16))},
        {"@tr": TRACE, "@sp": SPAN},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_trace_ids_are_found_under_any_name(fields: dict[str, str]) -> None:
    assert ids_in(fields) == (TRACE, SPAN)


def test_ids_of_64_bits_are_padded_and_others_are_none() -> None:
    assert ids_in({"dd.trace_id": "5208512171318403364"}).trace_id == f"{5208512171318403364:032x}"
    assert ids_in({"trace_id": "0" * 32}) == ("", "")
    assert ids_in({"trace_id": "not an id", "span_id": 7}) == ("", "")


def test_json_lines_are_read_whoever_wrote_them() -> None:
    pino = parse(f'{{"level":50,"time":1795230000123,"msg":"boom","reqId":"r-1","trace_id":"{TRACE}"}}')
    assert (pino.body, pino.severity_text, pino.time_ns % 10**9, pino.trace_id) == ("boom", "ERROR", 123_000_000, TRACE)
    assert pino.attributes["reqId"] == "r-1"
    ecs = parse(
        json.dumps(
            {
                "@timestamp": "2026-11-21T03:00:00Z",
                "log.level": "warn",
                "message": "slow",
                "service": {"name": "shop"},
                "host": {"name": "web-1"},
                "trace": {"id": TRACE},
                "http": {"request": {"id": "r-2"}},
            }
        )
    )
    assert (ecs.service, ecs.host, ecs.trace_id, ecs.severity_number) == ("shop", "web-1", TRACE, 13)
    assert ecs.attributes["http.request.id"] == "r-2"
    failed = parse(
        json.dumps(
            {
                "event": "died",
                "level": "error",
                "exc_info": 'Traceback (most recent call last):\n  File "a"\nValueError: bad',
            }
        )
    )
    assert failed.attributes["exception.type"] == "ValueError"
    assert failed.attributes["exception.message"] == "bad"


def test_other_formats_are_told_apart() -> None:
    def of(line: str) -> tuple[str, int, str]:
        found = parse(line, now_ns=NOW_NS)
        assert starts_record(line) or (found.format == "plain" and not found.time_ns)
        return found.format, found.severity_number, found.body

    assert of('ts=2026-11-21T03:00:00Z level=warn msg="slow \\"q\\""') == ("logfmt", 13, 'slow "q"')
    assert of('E1121 03:00:00.123456   12 c.go:116] "Sync failed" pod="a/b"') == ("klog", 17, "Sync failed")
    assert of("Nov 21 02:00:00 web-1 app[12]: ERROR payment failed") == ("syslog", 17, "ERROR payment failed")
    assert of("<11>1 2026-11-21T03:00:00Z web-1 app 12 - - out of stock") == ("syslog", 17, "out of stock")
    assert of("2026-11-21 03:00:00,123 ERROR db - gone")[:2] == ("plain", 17)
    assert of("2026/11/21 03:00:00 [crit] 1#2: *3 no upstream, client: 10.0.0.1")[:2] == ("nginx", 21)
    assert of("hello world") == ("plain", 0, "hello world")
    assert of("x=1 and y=2, said Bob")[0] == "plain"


def test_a_line_of_an_access_log_names_its_request() -> None:
    line = (
        '10.2.0.7 - frank [21/Nov/2026:03:00:00 +0000] "POST /v1/pay HTTP/1.1" 502 157 "-" "python-httpx/0.28" '
        '"7f9c24e8a1b2c3d4e5f60718293a4b5c"'
    )
    found = parse(line)
    assert found.format == "nginx"
    assert found.severity_number == 17
    assert found.time_ns == ns(2026, 11, 21, 3)
    assert found.attributes["request_id"] == "7f9c24e8a1b2c3d4e5f60718293a4b5c"
    assert found.attributes["http.response.status_code"] == 502
    assert found.attributes["url.path"] == "/v1/pay"
    named = parse(line.rsplit(" ", 1)[0] + ' rt=0.012 request_id="abc-1"')
    assert named.attributes["request_id"] == "abc-1"


def test_ids_in_prose_are_found() -> None:
    found = parse(f"2026-11-21 03:00:00 INFO [trace_id={TRACE} span_id={SPAN} request_id: r-77] done")
    assert (found.trace_id, found.span_id, found.attributes["request_id"]) == (TRACE, SPAN, "r-77")


def test_a_journal_entry_is_read() -> None:
    entry = {
        "__CURSOR": "s=1;i=2",
        "__REALTIME_TIMESTAMP": "1795230000123456",
        "_HOSTNAME": "web-1",
        "_SYSTEMD_UNIT": "shop.service",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "shop",
        "_PID": "42",
        "REQUEST_ID": "r-9",
        "MESSAGE": "ERROR card declined",
    }
    found = journal_line(json.dumps(entry), now_ns=NOW_NS)
    assert (found.service, found.host, found.severity_number) == ("shop", "web-1", 17)
    assert found.time_ns == ns(2026, 11, 21, 3, nanos=123_456_000)
    assert found.attributes["request_id"] == "r-9"
    raw = journal_line(json.dumps({**entry, "MESSAGE": [104, 105, 255], "PRIORITY": "3"}), now_ns=NOW_NS)
    assert (raw.body, raw.severity_number) == ("hi\ufffd", 17)


def records(text: str, format: Format = "auto") -> list[Record]:
    reader, joiner = LineReader(), Joiner(format)
    found = [record for line in reader.feed(text.encode()) for record in joiner.push(line)]
    found += [record for line in reader.flush() for record in joiner.push(line)]
    last = joiner.flush()
    return [record for record in [*found, *([last] if last else [])] if record.text]


TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 2, in h
ValueError: bad
"""


def test_a_traceback_belongs_to_its_line() -> None:
    text = f"2026-11-21 03:00:00,1 ERROR oops\n{TRACEBACK}2026-11-21 03:00:01,1 INFO on\n"
    first, second = records(text)
    assert first.text.count("\n") == TRACEBACK.rstrip().count("\n") + 1
    assert first.end == second.start
    line = parse(first.text)
    assert line.attributes["exception.type"] == "ValueError"
    assert "KeyError" in str(line.attributes["exception.stacktrace"])


def test_a_traceback_without_a_head_is_one_record() -> None:
    alone = records(TRACEBACK)
    assert len(alone) == 1
    assert parse(alone[0].text).severity_number == 17
    beside = records('{"msg":"a"}\n' + TRACEBACK + '{"msg":"b"}\n')
    assert [record.text[:9] for record in beside] == ['{"msg":"a', "Traceback", '{"msg":"b']
    java = (
        "2026-11-21 03:00:00 ERROR x\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n\tat a.D.e(D.java:2)\n"
    )
    (joined,) = records(java)
    assert parse(joined.text).attributes["exception.type"] == "java.lang.IllegalStateException"


def test_container_wrappers_are_taken_off() -> None:
    lines = [
        {"log": "2026-11-21 03:00:00,1 ERROR oops\n", "stream": "stderr", "time": "2026-11-21T03:00:00.2Z"},
        {"log": "Traceback (most recent call last):\n", "stream": "stderr", "time": "2026-11-21T03:00:00.2Z"},
        {"log": "ValueError: half", "stream": "stderr", "time": "2026-11-21T03:00:00.2Z"},
        {"log": " a line\n", "stream": "stderr", "time": "2026-11-21T03:00:00.2Z"},
        {"log": "2026-11-21 03:00:02,1 INFO fine\n", "stream": "stdout", "time": "2026-11-21T03:00:02.2Z"},
    ]
    docker = records("".join(json.dumps(line) + "\n" for line in lines))
    assert [record.text.splitlines()[-1] for record in docker] == ["ValueError: half a line", lines[-1]["log"].strip()]
    assert docker[0].stream == "stderr"
    cri = records(
        '2026-11-21T03:00:00.5Z stdout P {"level":"error",\n2026-11-21T03:00:00.5Z stdout F "msg":"boom"}\n'
        '2026-11-21T03:00:01.5Z stderr F {"msg":"next"}\n'
    )
    assert [parse(record.text).body for record in cri] == ["boom", "next"]
    assert cri[0].time_ns == ns(2026, 11, 21, 3, nanos=500_000_000)


def test_a_line_of_a_hundred_megabytes_is_cut_and_said() -> None:
    reader, joiner = LineReader(), Joiner()
    chunk = b"x" * 1_000_000
    for _ in range(100):
        assert list(reader.feed(chunk)) == []
    (line,) = list(reader.feed(b"\n"))
    assert len(line.text) == LINE_BYTES_MAX
    assert line.cut_bytes == 100_000_000 - LINE_BYTES_MAX
    joiner.push(line)
    record = joiner.flush()
    assert record is not None
    assert record.cut_bytes == line.cut_bytes
    assert record.end == 100_000_001


def test_a_record_of_endless_lines_is_bounded() -> None:
    (record,) = records("2026-11-21 03:00:00 INFO head\n" + "  more and more\n" * 20_000)
    assert len(record.text) < 100_000
    assert record.cut_bytes > 200_000


PIECES = st.sampled_from(
    [
        '{"a":',
        '"',
        "\\",
        "[",
        "]",
        "}" * 50,
        "=",
        'x="',
        "<34>1 ",
        "Nov 21 03:00:00 h a[1]: ",
        "2026-11-21T03:00:00Z ",
        "I1121 03:00:00.123456 1 f.go:1] ",
        '1.2.3.4 - - [21/Nov/2026:03:00:00 +0000] "GET / HTTP/1.1" 200 1 ',
        "\t",
        " ",
        f"trace_id={TRACE} ",
        "traceparent=00-",
        "�",
        "\x00",
        "\u2028",
        "9" * 40,
        "Traceback (most recent call last):",
        "\n",
        "\n  at x",
        "level=",
        "ERROR ",
        "dd.trace_id=1 ",
        "-",
        "1e999",
        "NaN",
        '\\"',
        "{" * 300,
        "[" * 300,
    ]
)


@settings(max_examples=300, deadline=None)
@given(text=st.lists(PIECES | st.text(max_size=20), max_size=40).map("".join), format=st.sampled_from(FORMATS))
def test_no_text_makes_a_parser_raise(text: str, format: Format) -> None:
    line = parse(text, format, now_ns=NOW_NS)
    assert len(line.body) <= 64_000
    assert len(line.attributes) <= 200
    assert len(line.trace_id) in (0, 32)
    assert 0 <= line.severity_number <= 24
    json.dumps({"body": line.body, **line.attributes}, allow_nan=False).encode()
    journal_line(text, now_ns=NOW_NS)


@settings(max_examples=200, deadline=None)
@given(
    chunks=st.lists(
        st.binary(max_size=60) | st.sampled_from([b"\n", b"\r\n", b"\xff\xfe", b"ERROR x\n  y\n"]), max_size=30
    )
)
def test_no_bytes_are_lost_or_read_twice(chunks: list[bytes]) -> None:
    reader, joiner = LineReader(), Joiner()
    found: list[Record] = []
    for chunk in chunks:
        for line in reader.feed(chunk):
            found += joiner.push(line)
    for line in reader.flush():
        found += joiner.push(line)
    last = joiner.flush()
    found += [last] if last else []
    whole = b"".join(chunks)
    assert reader.offset == len(whole)
    position = 0
    for record in found:
        assert record.start == position
        position = record.end
    assert position == len(whole)


@settings(max_examples=100, deadline=None)
@given(key=st.text(max_size=200), value=st.one_of(st.text(max_size=300), st.integers(), st.floats(), st.booleans()))
def test_no_field_makes_the_readers_raise(key: str, value: str | int | float | bool) -> None:
    plain_key(key)
    read_time(value, now_ns=NOW_NS)
    for name in (key, "trace_id", "dd.trace_id", "traceparent", "b3", "trace", "X-Cloud-Trace-Context"):
        assert len(ids_in({name: value}).trace_id) in (0, 32)


@pytest.mark.parametrize(
    "line",
    [
        "{" * 250_000,
        '{"a":' * 50_000,
        'a="' * 80_000,
        'a="\\"' * 60_000,
        "1.2.3.4 - - [" + '"' * 200_000,
        '1.2.3.4 - - [21/Nov/2026:03:00:00 +0000] "' + '\\"' * 100_000,
        "<34>1 2026-11-21T03:00:00Z h a 1 - [" + "x" * 200_000,
        "trace_id=" * 30_000,
        "request_id : " * 20_000,
        "Caused by: " * 20_000,
        "Traceback (most recent call last):\n" + "x\n" * 120_000,
        " " * 250_000,
        '{"n":' + "9" * 200_000 + "}",
    ],
    ids=lambda line: line[:20].strip(),
)
@pytest.mark.timeout(30)
def test_a_hostile_line_takes_no_time(line: str) -> None:
    """Work grows with the length and no faster: a square of these lengths would outlast the limit a hundredfold."""
    for format in FORMATS:
        parse(line, format, now_ns=NOW_NS)
