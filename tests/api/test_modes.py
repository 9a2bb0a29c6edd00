"""What each mode of a key may do, on every route there is: the table says it, and every route is asked with every mode."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pilothouse.access import MODES
from tests.api.conftest import Calling
from tests.traces.support import trace_id

CHANGES: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    # method and route: the least mode, and a body that fits
    ("post", "/annotations"): ("annotate", {"items": [{"kind": "note", "id": "last", "text": "x"}], "dry_run": True}),
    ("delete", "/annotations/{annotation_id}"): ("annotate", {}),
    ("post", "/annotations/undo"): ("annotate", {"run": "r", "dry_run": True}),
    ("post", "/deletions"): ("write", {"id": trace_id(1), "dry_run": True}),
    ("post", "/analysis"): ("write", {"worker": "nobody"}),
    ("post", "/jobs/{id}/cancel"): ("write", {}),
    ("post", "/runtime/tools/{tool}"): ("annotate", {"arguments": {}}),
    ("post", "/runtime/values"): ("annotate", {"a": 1}),
    ("post", "/runtime/plans/{plan}/answers"): ("annotate", {"task": "1", "text": "yes"}),
    ("post", "/budgets/reserve"): ("write", {"usd": "0.1"}),
    ("post", "/budgets/settle"): ("write", {"reservation_id": "r", "usd": "0.1"}),
    ("post", "/budgets/release"): ("write", {"reservation_id": "r"}),
    ("post", "/cache/clear"): ("write", {}),
    ("put", "/evals/runs/{run_id}"): ("write", {"suite": "refunds", "started": "2026-11-29T00:00:00Z"}),
    ("post", "/evals/runs/{run_id}/cases"): (
        "write",
        {"digest": "ab" * 8, "cases": [{"case": "one", "attempts": [{"repeat": 1, "outcome": "pass"}]}]},
    ),
    ("post", "/evals/runs/{run_id}/finish"): ("write", {}),
    ("delete", "/evals/runs/{run_id}"): ("write", {}),
    ("post", "/routing/train"): ("write", {}),
    ("post", "/routing/try"): ("write", {"model": "m", "free": True}),
    ("post", "/routing/replays/{replay_id}/resume"): ("write", {}),
    ("post", "/routing/replays/{replay_id}/stop"): ("write", {}),
    ("post", "/evals/online/{name}/try"): ("write", {"id": "last"}),
    ("post", "/evals/online/{name}/retry"): ("write", {}),
    ("post", "/evals/online/{name}/stop"): ("write", {}),
    ("post", "/evals/online/{name}/start"): ("write", {}),
    ("post", "/budgets/renew"): ("write", {"reservation_id": "r"}),
    ("post", "/approvals"): ("write", {"tool": "sql"}),
    **{
        ("post", f"/approvals/{{approval_id}}/{verb}"): ("write", body)
        for verb, body in {
            "approve": {"digest": "d"},
            "edit": {"digest": "d", "arguments": {}},
            "reject": {"text": "no"},
            "ask": {"text": "why?"},
            "answer": {"text": "so"},
            "delegate": {"to": "ann"},
            "cancel": {},
            "reserve": {"digest": "d"},
            "done": {"outcome": "executed", "reservation_id": "r"},
        }.items()
    },
    ("post", "/guard/check"): ("annotate", {"text": "hello"}),
    ("post", "/guard/switches"): ("admin", {"kind": "tool", "name": "drop", "off": True, "reason": " "}),
    ("post", "/guard/proposals"): ("write", {"steps": [trace_id(1)]}),
    ("post", "/guard/proposals/{proposal_id}/accept"): ("admin", {}),
    ("post", "/guard/proposals/{proposal_id}/dismiss"): ("admin", {}),
    ("post", "/policy/check"): ("write", {"text": ""}),
    ("post", "/policy/try"): ("write", {"text": "", "traces": 1}),
    ("post", "/policy"): ("admin", {"text": "", "base": "", "dry_run": True}),
    ("post", "/policy/undo"): ("admin", {"to": 999}),
    ("post", "/queues"): ("write", {"name": "modes", "question": "?"}),
    ("post", "/queues/{queue}/items"): ("write", {"query": ""}),
    ("post", "/queues/{queue}/choices"): ("write", {"verb": "add", "name": "other"}),
    ("post", "/queues/{queue}/next"): ("annotate", {}),
    ("post", "/queues/{queue}/label"): ("annotate", {"number": 1, "choice": "pass"}),
    ("post", "/queues/{queue}/skip"): ("annotate", {"number": 1}),
    ("post", "/queues/{queue}/undo"): ("annotate", {}),
    ("post", "/keys"): ("admin", {"name": "made", "mode": "read"}),
    ("delete", "/keys/{key_id}"): ("admin", {}),
    ("post", "/projects"): ("admin", {"name": "made"}),
    ("post", "/retention"): ("admin", {"days": 90}),
    ("post", "/retention/apply"): ("admin", {"dry_run": True}),
    ("post", "/reprocess"): ("admin", {"dry_run": True}),
    # These change nothing that was recorded.
    ("post", "/guard/drill"): ("read", {}),
    ("post", "/sql"): ("read", {"query": "SELECT 1"}),
    ("post", "/sign-in-links"): ("read", {}),
}
"""Everything that is no GET."""

READS_FOR: dict[str, str] = {
    "/keys": "admin",
    **dict.fromkeys(("/policy", "/policy/versions", "/policy/versions/{number}", "/guard/proposals"), "write"),
}
"""GETs that need more than ``read``."""


def every_route(calling: Calling) -> list[tuple[str, str]]:
    """Method and path below /api/v1."""
    found: list[tuple[str, str]] = []
    for path, operations in calling.app.openapi()["paths"].items():
        if path.startswith("/api/v1"):
            found += [(method, path.removeprefix("/api/v1")) for method in operations]
    return found


def test_every_route_that_changes_something_is_in_the_table(calling: Calling) -> None:
    routes = set(every_route(calling))
    assert {route for route in routes if route[0] != "get"} == set(CHANGES)
    assert {("get", path) for path in READS_FOR} <= routes


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_may_what_the_table_says_and_nothing_more(calling: Calling, mode: str) -> None:
    client = calling.client(mode)
    wrong: list[str] = []
    for method, path in every_route(calling):
        if path.endswith(("/events", "/export")):
            # Streams: they are asked below, where they can be left.
            continue
        needed, body = CHANGES.get((method, path), (READS_FOR.get(path, "read"), {}))
        place = re.sub(r"\{id(:path)?\}", trace_id(1), path).replace("{key}", "1").replace("{agent}", "refunds")
        place = re.sub(r"\{\w+\}", "none_1", place)
        answer = client.request(method, f"/api/v1{place}", json=body if method in ("post", "put") else None)
        allowed = MODES.index(mode) >= MODES.index(needed)  # type: ignore[arg-type]  # words of the table
        if (answer.status_code == 403) == allowed or answer.status_code == 401:
            wrong.append(f"{mode} {method} {path}: {answer.status_code}, needs {needed}")
        if answer.status_code == 403:
            detail = answer.json()["error"]
            assert detail["got"] == mode and needed in detail["fix"], detail
    assert wrong == []


def test_without_a_key_nothing_is_answered(calling: Calling) -> None:
    client = calling.client()
    client.headers["Authorization"] = "Bearer ph_unknown"
    for method, path in every_route(calling):
        answer = client.request(
            method, f"/api/v1{re.sub(r'[{][^}]+[}]', 'x', path)}", json={} if method in ("post", "put") else None
        )
        # A body that does not fit may be refused before the key is looked at: it is not read for anything.
        assert answer.status_code in (400, 401), f"{method} {path}: {answer.status_code}"


def test_asking_for_less_is_given_less(calling: Calling) -> None:
    client = calling.client("admin")
    client.headers["X-Pilothouse-Mode"] = "read"
    answer = client.get("/api/v1/keys")
    assert answer.status_code == 403 and "PILOTHOUSE_MODE=admin" in answer.json()["error"]["fix"]
    client.headers["X-Pilothouse-Mode"] = "everything"
    assert client.get("/api/v1/traces").status_code == 400
    reader = calling.client("read")
    reader.headers["X-Pilothouse-Mode"] = "admin"
    assert reader.get("/api/v1/keys").status_code == 403


def test_a_sign_in_link_has_no_more_than_who_made_it(calling: Calling) -> None:
    client = calling.client("admin")
    client.headers["X-Pilothouse-Mode"] = "read"
    path = client.post("/api/v1/sign-in-links").json()["data"]["path"]
    from pilothouse import access

    cookie = access.sign_in(calling.server.control, path.partition("token=")[2])
    assert access.page_grant(calling.server.control, cookie).mode == "read"
