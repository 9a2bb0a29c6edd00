"""The command line against a real server with recorded traffic."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest

from pilothouse.store import VIEWS
from tests.imports.atif_rules import check as check_trajectory
from tests.live import LiveServer

from .conftest import Cli


@pytest.fixture
def trace_id(cli: Cli, live: LiveServer) -> str:
    return str(cli("ls", "--limit", "1").data[0]["trace_id"])


def test_ls_finds_filters_and_goes_on(cli: Cli, live: LiveServer) -> None:
    everything = cli("ls", "--limit", "100").data
    assert len(everything) >= 3
    starts = [row["start_time"] for row in everything]
    assert starts == sorted(starts, reverse=True)
    failed = cli("ls", "status:error").data
    assert {row["status"] for row in failed} == {"error"}
    assert len(cli("ls", "-status:error").data) == len(everything) - len(failed)
    first = cli("ls", "--limit", "2").json
    rest = cli("ls", "--limit", "100", "--cursor", first["page"]["next"]).data
    assert [row["trace_id"] for row in (*first["data"], *rest)] == [row["trace_id"] for row in everything]


def test_ls_knows_the_filters_that_emptied_it(cli: Cli, live: LiveServer) -> None:
    answer = cli("ls", "agent:nobody").json
    assert answer["data"] == []
    assert answer["page"]["emptied_by"] == ["agent:nobody"]


@pytest.mark.parametrize("form", ["tree", "card", "transcript", "md"])
def test_show_gives_every_text_form_within_the_budget(cli: Cli, trace_id: str, form: str) -> None:
    for budget in ("700", "10000"):
        result = cli("show", trace_id, "--as", form, "--budget", budget)
        assert result.code == 0, result.err
        assert trace_id[:12] in result.out
        assert len(result.out) <= int(budget) + 1


@pytest.mark.parametrize("form", ["preview", "json", "graph", "breakdown", "path", "waterfall"])
def test_show_gives_every_json_form_within_the_budget(cli: Cli, trace_id: str, form: str) -> None:
    for budget in ("900", "10000"):
        result = cli("show", trace_id, "--as", form, "--budget", budget)
        assert result.json["ok"] is True
        assert len(result.out) <= int(budget)
        assert cli("show", trace_id, "--as", form, "--human").code == 0


def test_show_gives_every_trace_as_a_valid_trajectory_within_the_budget(cli: Cli, live: LiveServer) -> None:
    ids = [row["trace_id"] for row in cli("ls", "--limit", "100", "--budget", "100000").data]
    assert len(ids) >= 3
    for trace_id in ids:
        for budget in (700, 10_000, 20_000_000):
            text = cli("show", trace_id, "--as", "atif", "--budget", str(budget)).out
            assert len(text) <= budget + 1
            check_trajectory(json.loads(text))


def test_show_one_step_and_one_field_of_it(cli: Cli, trace_id: str) -> None:
    detail = cli("show", trace_id, "--step", "1", "--budget", "1000000").data
    assert detail["span"]["step"] == 1
    assert "attributes" in cli("show", trace_id, "--step", "001", "--human").out
    text = cli("show", trace_id, "--step", "1", "--field", "attributes").out
    assert "never instructions" in text
    assert cli("show", trace_id, "--step", "1", "--field", "attributes", "--json").data["form"] == "attributes"


def test_ids_may_be_short_and_have_names(cli: Cli, live: LiveServer, trace_id: str) -> None:
    assert cli("show", "last").data["trace"]
    failed = cli("show", "last-error").data["trace"]
    assert failed in {row["trace_id"] for row in cli("ls", "status:error").data}
    several = cli("show", "0000")
    assert (several.code, several.error["got"]) == (2, "0000")
    assert len(several.error["allowed"]) > 1
    assert cli("show", "ffffffff").code == 3


def test_everything_goes_to_a_file(cli: Cli, trace_id: str, tmp_path: Path) -> None:
    facts = cli("show", trace_id, "--as", "json", "--out", "t.json").data
    written = json.loads((tmp_path / "t.json").read_text())
    assert facts["bytes"] == (tmp_path / "t.json").stat().st_size
    assert "cut" not in written
    assert written["data"]["row"]["trace_id"] == trace_id


def test_sql_in_every_format(cli: Cli, live: LiveServer, tmp_path: Path) -> None:
    query = "SELECT kind, count() AS spans, any(name) FROM spans GROUP BY kind ORDER BY kind"
    result = cli("sql", query).data
    assert result["columns"] == ["kind", "spans", "any(name)"]
    rows = list(csv.reader(io.StringIO(cli("sql", query, "--format", "csv").out)))
    assert rows[0] == result["columns"]
    assert [row[0] for row in rows[1:]] == [row[0] for row in result["rows"]]
    assert cli("sql", query, "--format", "md").out.splitlines()[1] == "|---|---|---|"
    assert cli("sql", query, "--format", "table").out.split()[:2] == ["kind", "spans"]
    (tmp_path / "q.sql").write_text(query)
    assert cli("sql", "--file", "q.sql").data["rows"] == result["rows"]
    assert cli("sql", "--file", "nope.sql").code == 2
    assert cli("sql", query, "--format", "xml").code == 2


def test_sql_reads_a_statement_from_stdin(live: LiveServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", "sql", "--file", "-", "--format", "csv"],
        input="SELECT 1 AS one",
        env=live.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "one\n1\n"


def test_sql_keeps_the_budget_with_whole_rows(cli: Cli, live: LiveServer) -> None:
    result = cli("sql", "SELECT * FROM spans", "--budget", "20000")
    assert len(result.out) <= 20_000
    data = result.data
    assert data["more"] is True
    assert 0 < len(data["rows"]) < data["row_count"]
    assert "budget" in data["notes"][-1]


def test_the_schema_of_the_views(cli: Cli, live: LiveServer) -> None:
    assert cli("sql", "--schema", "spans").out.startswith("spans: ")
    assert len(cli("sql", "--schema", "--json", "--budget", "100000").data) == len(VIEWS)
    assert cli("sql", "--schema", "spanz").error["allowed"]


def test_facets_count_what_a_filter_finds(cli: Cli, live: LiveServer) -> None:
    facets = {facet["field"]: facet for facet in cli("ls", "--facets", "agent,status").data}
    assert set(facets) == {"agent", "status"}
    errors = {value["value"]: value["count"] for value in facets["status"]["values"]}["error"]
    assert errors == len(cli("ls", "status:error", "--limit", "100").data)
    assert len(cli("ls", "--facets", "all", "--budget", "100000").data) > 3
    assert "agent" in cli("ls", "--facets", "agnet").error["allowed"]


def test_search_finds_words_and_goes_on(cli: Cli, live: LiveServer) -> None:
    first = cli("search", "weather", "--limit", "3").json
    assert all(hit["snippet"] for hit in first["data"])
    more = cli("search", "weather", "--limit", "3", "--cursor", first["page"]["next"]).data
    assert not {(h["trace_id"], h["span_id"], h["snippet"]) for h in more} & {
        (h["trace_id"], h["span_id"], h["snippet"]) for h in first["data"]
    }
    assert cli("search", "xyzzyplugh").data == []
    assert cli("search", "weather", "--human").out.startswith("trace")


def test_sessions_and_one_of_them(cli: Cli, live: LiveServer) -> None:
    rows = cli("sessions").data
    assert rows
    several = max(rows, key=lambda row: row["traces"])["session_id"]
    one = cli("sessions", several).data
    assert one["row"]["session_id"] == several
    assert len(one["turns"]) == one["row"]["traces"]
    assert cli("sessions", "show", several).data == one
    for form in ("tree", "transcript"):
        text = cli("sessions", several, "--as", form, "--budget", "1500")
        assert text.code == 0
        assert len(text.out) <= 1501
    assert cli("sessions", "no-such-session").code == 3
    for words in (("sessions",), ("sessions", several)):
        assert cli(*words, "--human").out


@pytest.mark.parametrize(
    "words", [("overview",), ("fleet",), ("cost",), ("cost", "--by", "agent,user"), ("stats",), ("doctor",)]
)
def test_a_window_in_numbers(cli: Cli, live: LiveServer, words: tuple[str, ...]) -> None:
    data = cli(*words, "--budget", "100000").data
    assert data["window"]["until"]
    assert cli(*words, "--human").out
    assert len(cli(*words, "--budget", "800").out) <= 800


def test_cost_by_what_there_is_not(cli: Cli, live: LiveServer) -> None:
    assert "agent" in cli("cost", "--by", "agnt").error["allowed"]


def test_every_number_of_a_cost_is_explained(cli: Cli, live: LiveServer) -> None:
    dearest = cli("ls", "--sort", "dearest", "--limit", "1").data[0]
    answer = cli("cost", "why", dearest["trace_id"], "--budget", "1000000").data
    assert answer["cost_usd"] == dearest["cost_usd"]
    prices = [Decimal(price["usd"]) for span in answer["spans"] if span["counted"] for price in span["prices"]]
    assert sum(prices) == Decimal(answer["cost_usd"])
    text = cli("cost", "why", dearest["trace_id"], "--human").out
    assert "usd_per_mtok" in text
    assert len(cli("cost", "why", "last", "--budget", "900").out) <= 900


def test_what_is_stored_and_what_it_takes(cli: Cli, live: LiveServer) -> None:
    facts = cli("store", "stats").data
    assert facts["spans"] > 0
    assert {table["table"] for table in facts["tables"]} >= {"span", "trace", "message"}
    assert "bytes_per_span" in cli("store", "stats", "--human").out


def test_the_doctor_says_what_it_looked_at(cli: Cli, live: LiveServer) -> None:
    findings = cli("doctor").data["findings"]
    assert {finding["check"] for finding in findings} >= {"refused", "orphans", "unknown_prices"}
    assert all(finding["fix"] for finding in findings if finding["level"] in ("warn", "bad"))


def test_keys_are_made_and_revoked(cli: Cli, live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cli("keys", "new", "--mode", "read", "--name", "reader").data
    monkeypatch.setenv("PILOTHOUSE_URL", live.url)
    monkeypatch.setenv("PILOTHOUSE_API_KEY", made["secret"])
    assert cli("ls").code == 0
    denied = cli("keys", "ls")
    assert (denied.code, denied.error["kind"]) == (4, "forbidden")
    monkeypatch.delenv("PILOTHOUSE_URL")
    monkeypatch.delenv("PILOTHOUSE_API_KEY")
    assert made["key_id"] in {key["key_id"] for key in cli("keys", "ls").data}
    assert "secret" not in cli("keys", "ls").out
    assert cli("keys", "revoke", made["key_id"]).data["revoked"] is True
    monkeypatch.setenv("PILOTHOUSE_URL", live.url)
    monkeypatch.setenv("PILOTHOUSE_API_KEY", made["secret"])
    assert cli("ls").code == 4


def test_a_project_has_traces_of_its_own(cli: Cli, live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cli("projects", "new", "elsewhere").data
    assert made["name"] in {project["name"] for project in cli("projects", "ls").data}
    key = cli("keys", "new", "--mode", "read", "--project", made["project_id"]).data
    monkeypatch.setenv("PILOTHOUSE_URL", live.url)
    monkeypatch.setenv("PILOTHOUSE_API_KEY", key["secret"])
    assert cli("ls", "--since", "365d").data == []
    assert cli("sql", "SELECT count() FROM spans").data["rows"] == [[0]]


def test_retention_is_set_tried_and_dropped(cli: Cli, live: LiveServer) -> None:
    assert cli("retention", "show").data == []
    assert "everything is kept" in cli("retention", "show", "--human").out
    rule = cli("retention", "set", "--days", "3650", "--max-size", "50GB", "--environment", "nowhere").data
    assert (rule["days"], rule["budget_bytes"], rule["environment"]) == (3650, 50 * 10**9, "nowhere")
    assert cli("retention", "show").data == [rule]
    assert "50GB" in cli("retention", "show", "--human").out
    tried = cli("retention", "apply", "--dry-run").data
    assert [(entry["traces"], entry["dry_run"]) for entry in tried] == [(0, True)]
    cli("retention", "set", "--off", "--environment", "nowhere")
    assert cli("retention", "show").data == []
    for words in (
        (),
        ("--days", "-1"),
        ("--days", "3", "--off"),
        ("--max-size", "much"),
        ("--days", "3", "--kind", "x"),
    ):
        assert cli("retention", "set", *words).code == 2


def test_a_browser_is_let_in_once(cli: Cli, live: LiveServer) -> None:
    url = cli("sign-in").data["url"]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert b"<html" in opener.open(url, timeout=30).read()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.build_opener().open(url, timeout=30)
    page = cli("open", "/traces").data
    assert page["opened"] is False
    answer = urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(page["url"], timeout=30)
    assert answer.url == f"{live.url}/traces"
    assert cli("open", "//elsewhere").code == 2


def test_history_is_read_again(cli: Cli, live: LiveServer) -> None:
    assert cli("reprocess", "--dry-run", "--since", "7d").data["dry_run"] is True


def test_status_says_where_and_whether(cli: Cli, live: LiveServer) -> None:
    facts = cli("status").data
    assert (facts["url"], facts["ready"]) == (live.url, True)
    assert live.url in cli("status", "--human").out


def test_the_schema_of_an_answer_fits_the_answer(cli: Cli, live: LiveServer) -> None:
    schema = cli("schema", "ls", "--budget", "200000").data
    row = schema["properties"]["data"]["items"]
    given = cli("ls", "--limit", "1", "--fields", ",".join(row["properties"])).data[0]
    assert set(row["required"]) <= set(given)
    assert cli("schema", "keys", "new", "--budget", "200000").data["properties"]["data"]
    assert "ls" in cli("schema", "lss").error["allowed"]


def test_a_server_is_started_and_stopped(cli: Cli, tmp_path: Path) -> None:
    data = str(tmp_path / "own")
    started = cli("up", "--detach", "--data", data, "--port", "0", "--grpc-port", "off")
    assert started.code == 0, started.err
    ready = json.loads(started.out)
    assert ready["event"] == "ready"
    assert ready["new_key"].startswith("ph_")
    again = cli("up", "--data", data, "--port", "0")
    assert (again.code, again.error["got"]) == (2, data)
    stopped = cli("down", "--data", data).data
    assert stopped["url"] == ready["url"]
    assert cli("down", "--data", data).code == 3
    assert cli("status", "--data", data).code == 3


@pytest.mark.parametrize("port", ["x", "70000", "-1"])
def test_a_wrong_port_is_named(cli: Cli, port: str) -> None:
    assert cli("up", "--grpc-port", port).code == 2
