"""The runtime's tools over plain HTTP: plans per project, the gate, values, and a person's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse import access
from tests.traces.support import support_trace

from .conftest import Calling


def call(calling: Calling, tool: str, plan: str = "mine", /, **arguments: Any) -> dict[str, Any]:
    """What a tool says to an agent with a key of mode annotate."""
    answer = calling.client("annotate").post(
        f"/api/v1/runtime/tools/{tool}", json={"plan": plan, "arguments": arguments}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_the_tools_are_listed_as_a_model_is_told_of_them(scratch: Calling) -> None:
    tools = {tool["name"]: tool for tool in scratch.get("/runtime/tools")}
    assert len(tools) == 9
    assert tools["jq"]["input_schema"]["required"] == ["id", "program"]


def test_a_plan_a_refusal_and_a_person_s_answer(scratch: Calling) -> None:
    said = call(scratch, "todo_write", tasks=["look up", "refund"], request="Refund 4411")
    assert not said["failed"] and "> Refund 4411" in said["text"]
    refused = call(scratch, "finish")
    assert refused["failed"] and refused["error"]["kind"] == "open_tasks"
    assert [task["text"] for task in refused["error"]["got"]] == ["look up", "refund"]
    call(scratch, "todo_update", id="1", state="completed", note="order 4411")
    call(scratch, "todo_update", id="2", state="blocked", note="over the limit: may I?")
    assert call(scratch, "finish")["error"]["kind"] == "needs_approval"
    (listed,) = scratch.get("/runtime/plans")
    assert (listed["name"], listed["state"]) == ("mine", "waiting")
    answers = "/api/v1/runtime/plans/mine/answers"
    assert scratch.client("read").post(answers, json={"task": "2", "text": "yes"}).status_code == 403
    answered = scratch.client("annotate").post(answers, json={"task": "2", "text": "yes, up to 100"}).json()["data"]
    assert answered["state"] == "open" and "answered: yes, up to 100" in answered["text"]
    again = scratch.client("annotate").post(answers, json={"task": "2", "text": "yes"})
    assert again.status_code == 400 and "waits for nobody" in again.json()["error"]["message"]
    call(scratch, "todo_update", id="2", state="completed", note="refund 77")
    assert call(scratch, "finish")["text"].startswith("Finished")
    assert scratch.get("/runtime/plans/mine")["plan"]["tasks"][1]["note"] == "refund 77"
    assert scratch.client().get("/api/v1/runtime/plans/none").status_code == 404


def test_projects_do_not_see_each_other_s_plans_and_values(scratch: Calling) -> None:
    call(scratch, "todo_write", tasks=["a"], request="r")
    kept = call(scratch, "keep", data={"secret": list(range(9))})
    other = access.create_project(scratch.server.control, "other")
    key = access.create_key(scratch.server.control, other, name="k", mode="annotate").secret
    scratch.server.keys_changed()
    theirs = {"Authorization": f"Bearer {key}"}
    client = scratch.client("annotate")
    asked = {"plan": "mine", "arguments": {}}
    read = client.post("/api/v1/runtime/tools/todo_read", json=asked, headers=theirs).json()["data"]
    assert "No plan is written" in read["text"]
    look = {"arguments": {"id": kept["id"], "program": "."}}
    found = client.post("/api/v1/runtime/tools/jq", json=look, headers=theirs).json()["data"]
    assert found["failed"] and "secret" not in found["text"]
    assert client.get("/api/v1/runtime/plans", headers=theirs).json()["data"] == []


def test_bytes_become_a_value(scratch: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.dumps([{"id": n, "state": "declined" if n == 7 else "paid"} for n in range(5_000)]).encode()
    client = scratch.client("annotate")
    kept = client.post("/api/v1/runtime/values?label=orders", content=rows).json()["data"]
    assert kept["id"].startswith("data_") and len(kept["text"]) <= 10_000 and "orders is kept" in kept["text"]
    assert call(scratch, "jq", id=kept["id"], program='.[] | select(.state == "declined").id')["text"] == "7"
    csv = client.post("/api/v1/runtime/values", content=b"a;b\n1;2\n3;4\n5;6\n", headers={"content-type": "text/csv"})
    assert call(scratch, "jq", id=csv.json()["data"]["id"], program=".[0].b")["text"] == '"2"'
    monkeypatch.setattr("pilothouse.api.runtime.VALUE_BYTES_MAX", 1_000)
    large = client.post("/api/v1/runtime/values", content=b"x" * 1_001)
    assert large.status_code == 413 and large.json()["error"]["kind"] == "too_large"
    # The server's own files are nobody's working folder.
    assert call(scratch, "keep", file="/etc/passwd")["failed"]


def test_what_is_recorded_is_looked_into_where_it_lies(scratch: Calling) -> None:
    for number in (1, 2, 3):
        support_trace(number, project=scratch.project).store(scratch.server.store)
    groups = call(scratch, "jq", id="data://groups?by=agent,status", program=".[] | [.by.agent, .by.status, .traces]")
    assert json.loads(groups["text"].splitlines()[0]) == ["refunds", "error", 3]
    tools = call(
        scratch, "jq", id="data://spans?kind=tool&content=1", program='map(select(.tool_name=="refund")) | length'
    )
    assert tools["text"].splitlines()[0] == "3"
    assert call(scratch, "jq", id="data://traces?since=30d&sort=slowest", program="length")["text"] == "3"
    wrong = call(scratch, "schema", id="data://traces?filter=agnt:x")
    assert wrong["failed"] and "agent" in wrong["text"]


@pytest.mark.parametrize(
    ("plan", "arguments"),
    [
        ("", {}),
        ("a#gate", {}),
        ("mine", {"plan": "x" * 101}),
        ("mine", {"plan": "a\u0000b"}),
        ("mine", {"plan": 5.5, "x": 1}),
    ],
)
def test_a_plan_s_name_is_a_name(scratch: Calling, plan: str, arguments: dict[str, Any]) -> None:
    assert call(scratch, "todo_read", plan, **arguments)["failed"]


def test_half_characters_and_nulls_are_kept(scratch: Calling) -> None:
    body = '{"plan": "p", "arguments": {"tasks": ["a \\ud800 b", "n\\u0000ull"], "request": "r \\udfff"}}'
    answer = scratch.client("annotate").post(
        "/api/v1/runtime/tools/todo_write", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200 and not answer.json()["data"]["failed"], answer.text
    assert len(scratch.get("/runtime/plans/p")["plan"]["tasks"]) == 2
