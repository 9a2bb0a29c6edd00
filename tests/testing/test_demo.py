"""The demo fleet: what one round sends, and what its exit code says."""

import collections

import pytest

from pilothouse.testing import OtlpSink

pytest.importorskip("openai")
pytest.importorskip("anthropic")
pytest.importorskip("openinference.instrumentation.openai")
pytest.importorskip("opentelemetry.instrumentation.openai")

from pilothouse.testing.demo.__main__ import main
from pilothouse.testing.demo.fleet import FleetConfig, run_fleet

DAY_NS = 86_400_000_000_000


def attributes(values: list[dict]) -> dict:
    return {item["key"]: next(iter(item["value"].values())) for item in values}


def spans_by_service(sink: OtlpSink) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = collections.defaultdict(list)
    for resource in sink.as_json("traces")["resourceSpans"]:
        name = attributes(resource["resource"]["attributes"])["service.name"]
        for scope in resource["scopeSpans"]:
            found[name] += [{**span, "scope": scope["scope"]["name"]} for span in scope["spans"]]
    return found


def test_one_round_shows_every_story_in_its_own_dialect() -> None:
    with OtlpSink() as sink:
        report = run_fleet(FleetConfig(endpoint=sink.address, key="key-1", rounds=1))
        services = spans_by_service(sink)
        assert sink.requests[0].headers["authorization"] == "Bearer key-1"

    by_agent = collections.defaultdict(list)
    for run in report.runs:
        by_agent[run.agent].append(run)
    assert report.exports.refused == 0
    assert report.exports.accepted == sum(map(len, services.values()))
    assert {run.trace_id for run in report.runs} == {span["traceId"] for spans in services.values() for span in spans}

    # A manager with three workers side by side, and a critic who sends the draft back once.
    names = collections.Counter(span["name"] for span in services["research-team"])
    assert names["delegate"] == names["researcher"] == 3
    assert names["critic"] == 2
    # Sessions of several turns.
    assert len(by_agent["support"]) > len({run.session for run in by_agent["support"]})
    # The same call again and again.
    looped = [attributes(span["attributes"]) for span in services["stock-keeper"] if span["name"] == "check_stock"]
    assert len(looped) == 8
    assert len({span["tool.parameters"] for span in looped}) == 1
    # A tool error, a rate limit, and a server error that ends the run.
    failed = [span["name"] for span in services["billing-export"] if span.get("status", {}).get("code") == 2]
    assert sorted(failed) == ["anthropic.chat", "anthropic.chat", "billing.agent", "export_ledger.tool"]
    assert by_agent["billing"][0].status == "error"

    scopes = {name: {span["scope"].split(".")[0] for span in spans} for name, spans in services.items()}
    assert scopes["research-team"] == {"openinference", "pilothouse"}
    assert scopes["support-desk"] == {"opentelemetry", "pilothouse"}


def test_every_span_but_the_first_finds_its_parent() -> None:
    with OtlpSink() as sink:
        run_fleet(FleetConfig(endpoint=sink.address, key="", rounds=1))
        spans = sink.spans()
    known = {(span["traceId"], span["spanId"]) for span in spans}
    roots = collections.Counter(span["traceId"] for span in spans if "parentSpanId" not in span)
    assert set(roots.values()) == {1}
    assert all((span["traceId"], span["parentSpanId"]) in known for span in spans if "parentSpanId" in span)


def test_spread_moves_whole_traces_into_the_past() -> None:
    with OtlpSink() as sink:
        run_fleet(FleetConfig(endpoint=sink.address, key="", rounds=2, spread_s=86_400))
        spans = sink.spans()
    lasted: dict[str, list[int]] = collections.defaultdict(list)
    for span in spans:
        lasted[span["traceId"]] += [int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])]
    assert all(max(times) - min(times) < 60e9 for times in lasted.values())
    beginnings = [min(times) for times in lasted.values()]
    assert DAY_NS / 4 < max(beginnings) - min(beginnings) < 1.1 * DAY_NS


def test_refused_spans_make_the_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with OtlpSink() as sink:
        sink.status = 401
        assert main(["--endpoint", sink.address, "--rounds", "1", "--quiet"]) == 1
    printed = capsys.readouterr()
    assert " 0 spans accepted" in printed.out
    assert "hint: check the address and the key" in printed.err


def test_each_run_is_a_line_and_the_exit_code_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    with OtlpSink() as sink:
        assert main(["--endpoint", sink.address, "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("research-team 1.8.0 production" in line for line in lines) == 1
    assert lines[-1].endswith("0 refused")


def test_a_wrong_spread_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--spread", "soon"])
    assert "such as 24h" in capsys.readouterr().err
