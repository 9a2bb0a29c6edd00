"""Every route gives what its verb gives, in one envelope; every error has one shape."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from pilothouse.access import Grant
from pilothouse.traces import FORMS
from pilothouse.traces.model import Refused
from tests.traces.support import span_id, trace_id

from .conftest import COOKIE, Calling

API = "/api/v1"


def test_lists_come_in_an_envelope_with_a_page(calling: Calling) -> None:
    first = calling.client().get(f"{API}/traces", params={"limit": 2, "since": "1h"}).json()
    assert first["ok"] is True and [row["agent"] for row in first["data"]] == ["refunds", "refunds"]
    page = first["page"]
    assert (page["total"], page["total_is"], page["more"], page["since_is"]) == (3, "exact", True, "given")
    assert first["next"][0].startswith("pilothouse show ")
    second = calling.client().get(f"{API}/traces", params={"limit": 2, "since": "1h", "cursor": page["next"]}).json()
    ids = [row["trace_id"] for row in first["data"] + second["data"]]
    assert sorted(ids) == [trace_id(number) for number in (1, 2, 3)] and second["page"]["more"] is False
    row = first["data"][0]
    assert row["cost_usd"] == "0.003632" and row["tokens"]["total"] == 4020


def test_an_empty_list_says_why(calling: Calling) -> None:
    answer = calling.client().get(f"{API}/traces", params={"filter": "agent:refunds user:nobody"}).json()
    assert answer["data"] == [] and answer["page"]["emptied_by"] == ["user:nobody"]


@pytest.mark.parametrize("form", FORMS)
def test_a_trace_comes_in_every_form(calling: Calling, form: str) -> None:
    answer = calling.client().get(f"{API}/traces/{trace_id(1)}", params={"as": form, "budget": 3000})
    assert answer.status_code == 200 and len(answer.text) <= 3000
    kind = answer.headers["content-type"].split(";")[0]
    assert kind == {
        "json": "application/json",
        "preview": "application/json",
        "atif": "application/json",
        "md": "text/markdown",
    }.get(form, "text/plain")
    if form == "json":
        assert answer.json()["data"]["row"]["trace_id"] == trace_id(1)


def test_json_without_a_budget_is_whole_and_with_one_says_what_was_cut(calling: Calling) -> None:
    whole = calling.client().get(f"{API}/traces/00000001").json()
    assert len(whole["data"]["spans"]) == 6 and "cut" not in whole
    cut = calling.client().get(f"{API}/traces/00000001", params={"budget": 4000}).json()
    assert cut["cut"][0]["get"].startswith("pilothouse show")


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/traces/last/waterfall", "trace_id step span_id parent names kinds critical"),
        ("/traces/last/graph", "nodes edges"),
        ("/traces/last/breakdown", "duration_ms by_kind by_label"),
        ("/traces/last/transcript", "trace_id steps next_step total"),
        ("/traces/00000002/spans/003", "span input_value output_value attributes resource events scores"),
        ("/sessions/chat 1%2Fä", "row turns next"),
        ("/overview", "window series breakdowns p95_ms cost_per_trace_usd"),
        ("/fleet", "window agents"),
        ("/map", "components edges prompts services edges_share"),
        ("/map?focus=refunds", "components edges"),
        ("/agents/refunds/audit", "agent looked checks failing cannot_tell passing"),
        ("/agents/refunds/level", "window agents"),
        ("/levels", "window agents"),
        ("/heatmap", "times edges_ms column row count"),
        ("/cost", "total_usd rows by"),
        ("/cost/last", "cost_usd spans counted gap_tokens"),
        ("/doctor", "healthy findings window"),
        ("/stats", "traces spans dialects"),
        ("/store/stats", "bytes_per_span tables dedup_share_saved"),
        ("/resolve/last-error", "kind id trace_id"),
        (f"/resolve/{span_id(203)}", "kind id trace_id"),
    ],
)
def test_a_route_gives_its_keys(calling: Calling, path: str, keys: str) -> None:
    data = calling.get(path)
    assert set(keys.split()) <= set(data)


@pytest.mark.parametrize("path", ["/traces/last/critical-path", "/facets", "/sessions", "/search?text=refund"])
def test_a_list_route_gives_rows(calling: Calling, path: str) -> None:
    assert isinstance(calling.get(path), list) and calling.get(path)


def test_a_field_is_fenced_text(calling: Calling) -> None:
    path = f"{API}/traces/{trace_id(1)}/spans/003"
    answer = calling.client().get(path, params={"field": "output"})
    assert answer.headers["content-type"].startswith("text/plain") and '"status": "delivered"' in answer.text
    assert "never instructions" in answer.text
    assert calling.client().get(path, params={"offset": 5}).status_code == 400


def test_sessions_read_as_text(calling: Calling) -> None:
    path = f"{API}/sessions/chat 1%2Fä"
    text = calling.client().get(path, params={"as": "transcript"}).text
    assert text.startswith('# session "chat 1/ä"') and "A person must approve" in text
    assert calling.client().get(path, params={"as": "poem"}).json()["error"]["allowed"] == [
        "json",
        "tree",
        "transcript",
    ]


def test_facets_and_costs_take_their_dimensions(calling: Calling) -> None:
    answer = calling.client().get(f"{API}/facets?field=agent&field=tool").json()["data"]
    assert [facet["field"] for facet in answer] == ["agent", "tool"]
    rows = calling.get("/cost", by="agent,model")["rows"]
    assert rows[0]["key"] == {"agent": "refunds", "model": "gpt-x"} and rows[0]["cost_usd"] == "0.010896"
    assert calling.client().get(f"{API}/cost", params={"by": "colour"}).status_code == 400


def test_sql_is_asked_both_ways(calling: Calling) -> None:
    question = "SELECT agent, count() FROM traces GROUP BY agent"
    for answer in (
        calling.client().get(f"{API}/sql", params={"query": question}),
        calling.client().post(f"{API}/sql", json={"query": question, "rows": 5}),
    ):
        assert answer.json()["data"]["rows"] == [["refunds", 3]]
    refused = calling.client().post(f"{API}/sql", json={"query": "DROP TABLE traces"})
    assert refused.status_code == 400 and refused.json()["error"]["kind"] == "bad_request"
    assert {view["name"] for view in calling.get("/sql/schema")} >= {"traces", "spans", "messages"}
    text = calling.client().get(f"{API}/sql/schema", params={"as": "text", "view": "spans"}).text
    assert text.startswith("spans: ") and "trace_id" in text


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/traces/ffffffff", 404, "not_found"),
        ("/traces/0000000", 400, "bad_request"),
        ("/traces/last/spans/99", 404, "not_found"),
        ("/traces/last/spans/zz", 404, "not_found"),
        ("/traces/chat%201%2F%C3%A4", 404, "not_found"),
        ("/traces/%00", 400, "bad_request"),
        ("/traces?filter=statsu:error", 400, "bad_request"),
        ("/traces?limit=0", 400, "bad_request"),
        ("/traces?limit=abc", 400, "bad_request"),
        ("/traces?limit=99999999999999999999999999", 400, "bad_request"),
        ("/traces?sort=colour", 400, "bad_request"),
        ("/traces?since=yesterday", 400, "bad_request"),
        ("/traces?since=1h&until=2h", 400, "bad_request"),
        ("/traces?cursor=abc", 400, "bad_request"),
        ("/traces/last?as=poem", 400, "bad_request"),
        ("/search", 400, "bad_request"),
        ("/search?text=%00", 400, "bad_request"),
        ("/facets?field=cost", 400, "bad_request"),
        ("/sessions/nope", 404, "not_found"),
        ("/nothing/here", 404, "not_found"),
        ("/sql/schema?view=nope", 400, "bad_request"),
    ],
)
def test_every_error_has_the_one_shape(calling: Calling, path: str, status: int, kind: str) -> None:
    answer = calling.client().get(API + path)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["kind"] == kind and error["message"] and set(error) <= {"kind", "message", "got", "allowed", "fix"}


def test_a_method_there_is_not_is_refused_in_the_one_shape(calling: Calling) -> None:
    answer = calling.client().delete(f"{API}/traces")
    assert answer.status_code == 405 and answer.json()["error"]["kind"] == "method_not_allowed"


@pytest.mark.parametrize("key", [None, "", "wrong", "ph_" + "0" * 40, "ä", "x" * 10_000])
def test_nobody_reads_without_a_good_key(calling: Calling, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": f"Bearer {key}".encode()}
    client = TestClient(calling.app, raise_server_exceptions=False)
    for path in calling.app.openapi()["paths"]:
        if path.startswith("/api/"):
            answer = client.get(path.replace("{id}", "last").replace("{key}", "1"), headers=headers)
            assert answer.status_code in (401, 405), (path, answer.text)
    assert client.get(f"{API}/traces", headers=headers).headers["www-authenticate"] == "Bearer"


def test_a_key_reads_its_own_project_alone(calling: Calling) -> None:
    admin = calling.client("admin")
    other = admin.post(f"{API}/projects", json={"name": "other"}).json()["data"]
    answer = admin.post(f"{API}/keys", json={"mode": "read", "project_id": other["project_id"]})
    assert answer.status_code == 200, answer.text
    made = answer.json()["data"]
    client = TestClient(calling.app, headers={"x-api-key": made["secret"]})
    assert client.get(f"{API}/traces").json()["data"] == []
    assert client.get(f"{API}/traces/{trace_id(1)}").status_code == 404
    assert client.get(f"{API}/traces/{trace_id(1)}/waterfall").status_code == 404
    assert [row["name"] for row in client.get(f"{API}/projects").json()["data"]] == ["other"]


def test_keys_are_made_shown_once_and_revoked(scratch: Calling) -> None:
    admin = scratch.client("admin")
    made = admin.post(f"{API}/keys", json={"name": "robot", "mode": "read"}).json()["data"]
    robot = TestClient(scratch.app, headers={"Authorization": f"Bearer {made['secret']}"})
    assert robot.get(f"{API}/traces").status_code == 200
    assert robot.get(f"{API}/keys").status_code == 403
    listed = admin.get(f"{API}/keys").json()["data"]
    assert made["secret"] not in str(listed) and "robot" in [row["name"] for row in listed]
    assert admin.delete(f"{API}/keys/{made['key_id']}").json()["data"]["revoked"] is True
    assert robot.get(f"{API}/traces").status_code == 401
    assert admin.delete(f"{API}/keys/{made['key_id']}").status_code == 404
    for wrong in (
        {"mode": "god"},
        {"colour": "red"},
        {"project_id": "prj_none"},
        {"name": "x" * 300},
        {"name": "\x00"},
    ):
        assert admin.post(f"{API}/keys", json=wrong).status_code == 400, wrong


def test_what_changes_things_needs_admin(scratch: Calling) -> None:
    asked: list[tuple[str, Any]] = [("/reprocess", {}), ("/keys", {}), ("/projects", {"name": "x"})]
    for path, body in asked:
        answer = scratch.client("write").post(API + path, json=body)
        assert answer.status_code == 403 and answer.json()["error"]["kind"] == "forbidden"
    assert scratch.client("admin").post(f"{API}/reprocess", json={"since": "1d", "dry_run": True}).status_code == 200
    assert scratch.server.asked == [(scratch.project, True)]


def test_the_pages_cookie_reads_but_writes_from_our_own_page_only(scratch: Calling) -> None:
    scratch.server.cookies["good"] = Grant(project_id=scratch.project, key_id="", mode="admin", who="page")
    browser = TestClient(scratch.app, cookies={COOKIE: "good"}, raise_server_exceptions=False)
    assert browser.get(f"{API}/traces").status_code == 200
    body = {"name": "new"}
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.post(f"{API}/projects", json=body, headers=headers).status_code == 403, headers
    assert browser.post(f"{API}/projects", json=body, headers={"Origin": "http://testserver"}).status_code == 200
    assert TestClient(scratch.app, cookies={COOKIE: "bad"}).get(f"{API}/traces").status_code == 401


def test_the_doctor_hears_of_refused_writes(scratch: Calling) -> None:
    scratch.server.refused = (Refused(reason="401 not_allowed", source="traces", count=5, last="now", detail="no key"),)
    report = scratch.client().get(f"{API}/doctor").json()["data"]
    assert report["healthy"] is False and report["findings"][0]["check"] == "refused"


def test_health_is_open_and_says_what_is_wrong(scratch: Calling) -> None:
    client = TestClient(scratch.app)
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").json() == {"ready": True, "parts": {"store": "ok"}}
    scratch.server.parts["worker"] = "being started"
    assert client.get("/readyz").status_code == 503
    text = client.get("/metrics").text
    assert 'pilothouse_spans_total{signal="a\\"\\\\\\n"} 3\n' in text and "pilothouse_lag_seconds 0.5\n" in text
    assert "# TYPE pilothouse_spans_total counter" in text


def test_a_defect_is_answered_without_its_details(scratch: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(scratch.server, "ready", broken)
    answer = scratch.client().get("/readyz")
    assert answer.status_code == 500 and answer.json()["error"]["kind"] == "bug" and "secret" not in answer.text


def test_the_description_covers_every_route_and_its_errors(calling: Calling) -> None:
    schema = calling.client().get("/openapi.json").json()
    assert schema["info"]["version"] == "1.2.3"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert operation["description"], (path, method)
            assert "422" not in operation["responses"]
            if path.startswith("/api/"):
                assert {"400", "401", "404"} <= set(operation["responses"])
                for parameter in operation.get("parameters", []):
                    assert parameter.get("description"), (path, parameter["name"])
