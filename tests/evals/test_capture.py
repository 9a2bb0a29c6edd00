"""What happened in production becomes a case: a golden one, or one that is red until it is put right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilothouse.evals.capture import capture
from pilothouse.evals.case_text import read_case
from pilothouse.evals.expectation import read_expectation, read_json_check
from pilothouse.evals.recording import Recording, calls_in
from pilothouse.evals.runner import Options, attempt
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import resolve
from pilothouse.evals.trim import trim
from pilothouse.guards.mask import Numbered, masker
from pilothouse.records import BadRequest
from tests.live import LiveServer

from .conftest import Evals
from .recorded import answered, said, send, wish

ORDER = {"id": "A-4411", "total": 50, "paid_with": "mia@example.org", "note": "call +49 151 2345678"}
CONVERSATION = [
    said("system", "You refund late orders."),
    said("user", "I am mia@example.org, my order A-4411 was late"),
    wish("c1", "get_order", {"id": "A-4411", "email": "mia@example.org"}),
    answered("c1", ORDER),
    wish("c2", "refund", {"order": "A-4411", "amount": 50}),
    answered("c2", {"reference": "RF-90210", "amount": 50}),
    said("assistant", "You get $50 back, reference RF-90210. I wrote to mia@example.org."),
]
ABOUT = {"trace": "ab" * 16, "agent": "shop"}
WHOLE = Recording(given=CONVERSATION[:2], later=CONVERSATION[2:], calls=calls_in(CONVERSATION), about=ABOUT)
DECISION = Recording(
    given=CONVERSATION[:4], later=CONVERSATION[4:5], calls=calls_in(CONVERSATION)[1:], about=ABOUT | {"step": 5}
)


def made(recording: Recording, **more: Any) -> dict[str, Any]:
    return capture(recording, id="x", captured="2026-11-29T12:00:00Z", **more)


def outcome(data: dict[str, Any], target: Callable[..., Any], **options: Any) -> tuple[str, str]:
    result = asyncio.run(attempt(read_case(data), 1, resolve(target), Options(**options)))
    return result.outcome, result.why


def does(*calls: tuple[str, dict[str, Any]], text: str = "") -> Callable[..., Any]:
    def agent(messages: list[dict[str, Any]]) -> dict[str, Any]:
        wishes = [{"id": f"c{n}", "name": name, "arguments": args} for n, (name, args) in enumerate(calls)]
        return {"text": text, "tool_calls": wishes}

    return agent


def test_a_good_session_is_checked_by_what_was_done_and_found() -> None:
    data = made(WHOLE)
    assert data["checks"] == [
        {"tools": ["get_order", "refund"]},
        {"tool": "get_order", "arguments": {"id": "A-4411", "email": "mia@example.org"}},
        {"tool": "refund", "arguments": {"order": "A-4411", "amount": 50}},
        {"contains": ["RF-90210"]},
        {"number": "$50"},
    ]
    assert [call["name"] for call in data["stubs"]["calls"]] == ["get_order", "refund"]
    calls = [(one.name, dict(one.arguments)) for one in WHOLE.calls]
    assert outcome(data, does(*calls, text="$50, RF-90210"))[0] == "pass"
    assert outcome(data, does(*calls[:1], text="$50, RF-90210"))[0] == "fail"
    assert outcome(data, does(*calls, text="done"))[0] == "fail"


def test_a_decision_is_what_was_given_and_what_was_decided() -> None:
    data = made(DECISION)
    assert [message["role"] for message in data["input"]["messages"]] == ["system", "user", "assistant", "tool"]
    assert data["checks"] == [{"tool": "refund", "arguments": {"order": "A-4411", "amount": 50}}]
    assert data["settings"]["decision_only"] is True
    assert data["metadata"]["provenance"]["did"] == 'refund({"amount":50,"order":"A-4411"})'


def test_a_bad_decision_is_red_until_something_else_is_done() -> None:
    data = made(DECISION, verdict="bad", expect=[read_expectation("tool refund amount=5")])
    assert {"no_tool": "refund", "arguments": {"order": "A-4411", "amount": 50}} in data["checks"]
    assert outcome(data, does(("refund", {"order": "A-4411", "amount": 50})))[0] == "fail"
    assert outcome(data, does(("refund", {"order": "A-4411", "amount": "$5"})))[0] == "fail"
    assert outcome(data, does(("refund", {"order": "A-4411", "amount": 5.0})))[0] == "pass"


def test_a_bad_answer_must_not_be_given_again() -> None:
    recording = Recording(given=CONVERSATION[:6], later=CONVERSATION[6:], about=ABOUT | {"step": 7})
    data = made(recording, verdict="bad")
    assert outcome(data, does(text="You get $50 back, reference RF-90210. I wrote to mia@example.org."))[0] == "fail"
    assert outcome(data, does(text="It is on its way"))[0] == "pass"


def test_what_is_expected_and_was_done_is_no_failure() -> None:
    with pytest.raises(BadRequest, match="would not be red"):
        made(WHOLE, verdict="bad", expect=[read_expectation("tool refund amount=50")])
    with pytest.raises(BadRequest, match="what should have been done"):
        made(WHOLE, verdict="bad")
    with pytest.raises(BadRequest, match="does not pass"):
        made(WHOLE, expect=[read_expectation("no_tool refund")])
    with pytest.raises(BadRequest, match="nothing to give"):
        made(Recording())


def test_a_user_who_speaks_again_makes_turns() -> None:
    later = [*CONVERSATION[2:4], said("assistant", "Shall I?"), said("user", "yes"), *CONVERSATION[4:]]
    data = made(Recording(given=CONVERSATION[:2], later=later, calls=calls_in(CONVERSATION)))
    assert data["input"]["turns"] == ["I am mia@example.org, my order A-4411 was late", "yes"]


def test_data_that_looks_like_an_operator_or_a_file_is_data(tmp_path: Path) -> None:
    from pilothouse.evals.payloads import keep_long

    odd = [said("user", "x"), wish("c", "find", {"q": {"$gt": 5}}), answered("c", "y"), said("assistant", "done")]
    calls = [{"name": "find", "arguments": {"q": {"$gt": 5}}, "result": {"$file": "/etc/passwd"}}]
    recording = Recording(given=odd[:1], later=odd[1:], calls=calls_in(odd))
    data = made(recording)
    data["stubs"] = {"calls": calls}
    del data["stubs"]["calls"][0]["arguments"]
    suite = Suite(tmp_path)
    suite.add(keep_long(tmp_path, data))
    assert suite.case("x").stubs.calls[0].result == {"$file": "/etc/passwd"}


def test_very_many_short_messages_are_a_file_and_long_arguments_too(tmp_path: Path) -> None:
    from pilothouse.evals.payloads import keep_long

    many = [said("user" if n % 2 == 0 else "assistant", f"{n} " + "words " * 50) for n in range(5_001)]
    recording = Recording(given=many, later=[wish("c", "write", {"text": "x" * 600_000})], about=ABOUT | {"step": 9})
    suite = Suite(tmp_path)
    case = suite.add(keep_long(tmp_path, made(recording)))
    assert (suite.place("x").length < 2_000, suite.broken()) == (True, [])
    assert len(case.input.messages) == 5_001
    assert case.checks[0].options["arguments"] == {"text": "x" * 600_000}


def test_whose_session_it_was_is_masked(tmp_path: Path) -> None:
    recording = Recording(given=CONVERSATION[:2], later=CONVERSATION[2:], about=ABOUT | {"session": "mia@example.org"})
    changed = recording.changed(masker(("personal",), placeholder=Numbered()).mask_data)
    data = made(changed)
    assert data["metadata"]["cluster"] == "[masked: email 1]"
    assert data["metadata"]["provenance"]["trace"] == ABOUT["trace"]
    assert "mia@" not in json.dumps(data)


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("tool refund amount=5 who='Mia Li'", {"tool": "refund", "arguments": {"amount": 5, "who": "Mia Li"}}),
        ('tool refund amount=\'{"$between": [1, 5]}\'', {"tool": "refund", "arguments": {"amount": {"$between": [1, 5]}}}),
        ("no_tool *", {"no_tool": "*"}),
        ("contains on its way", {"contains": "on its way"}),
        ("number 5", {"number": 5}),
        ("no_error", {"no_error": True}),
    ],
)  # fmt: skip
def test_expectations_in_a_line(line: str, check: dict[str, Any]) -> None:
    assert read_expectation(line) == check


@pytest.mark.parametrize(
    "line", ["", "tool", "refund", "tool refund 5", "contains", "number many", "tool 'a", "no_error x"]
)
def test_an_expectation_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(BadRequest):
        read_expectation(line)
    with pytest.raises(BadRequest):
        read_json_check(line)


def test_what_needs_no_run_to_be_left_out() -> None:
    blob = "A1b2C3d4E5f6G7h8I9" * 200
    data = {
        "id": "x",
        "input": {"messages": [
            {"role": "system", "content": "rules" * 500},
            {"role": "user", "content": "the whole policy " * 50},
            {"role": "user", "content": "the whole policy " * 50},
            {"role": "user", "content": "yes"},
            {"role": "assistant", "content": "sure?"},
            {"role": "user", "content": "yes"},
        ]},
        "stubs": {"calls": [{"name": "photo", "result": {"jpeg": f"data:image/jpeg;base64,{blob}", "line": "-" * 2_000}}]},
    }  # fmt: skip
    trimmed, left_out = trim(data)
    assert [one["content"][:5] for one in trimmed["input"]["messages"]] == ["the w", "yes", "sure?", "yes"]
    assert trimmed["stubs"]["calls"][0]["result"]["jpeg"].startswith("[image/jpeg, 2,700 bytes, sha256 ")
    assert trimmed["stubs"]["calls"][0]["result"]["line"] == "-" * 2_000
    assert left_out.pop("chars") > 6_000
    assert left_out == {"system prompts": 1, "repeated messages": 1, "binary values": 1}


# -- from a server ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace(live_server: LiveServer) -> str:
    return send(live_server, "ca" * 15 + "01", CONVERSATION, session="s-refund", tools=("get_order", "refund"))


def test_a_session_is_captured_masked_and_read_back(evals: Evals, trace: str) -> None:
    made = evals("from-trace", trace[:20], "--suite", "refunds", "--mask", "A-4411").data
    assert made["masked"]["email"] >= 3
    assert made["masked"]["name"] >= 3
    text = Path(made["file"]).read_text()
    assert "mia@" not in text and "A-4411" not in text and "2345678" not in text
    case = Suite("refunds").case(made["id"])
    assert case.stubs.calls[0].arguments == {"id": "[masked: name 1]", "email": "[masked: email 1]"}
    assert case.stubs.calls[0].result["id"] == "[masked: name 1]"
    assert case.stubs.calls[0].result["total"] == 50
    assert case.settings == {"model": "gpt-4o", "temperature": 0.5}
    about = case.metadata.provenance
    assert (about["trace"], about["agent"], about["agent_version"]) == (trace, "shop", "7")
    assert about["tools"] == ["get_order", "refund"]
    assert case.metadata.cluster == "s-refund"
    assert "refund late orders" not in text
    calls = [(one.name, dict(one.arguments)) for one in case.stubs.calls]
    result = asyncio.run(attempt(case, 1, resolve(does(*calls, text="$50 RF-90210")), Options()))
    assert result.outcome == "pass", result.why


def test_a_decision_is_captured_with_whole_values(evals: Evals, live_server: LiveServer) -> None:
    long = {"rows": [{"n": n, "text": "x" * 100} for n in range(200)]}
    conversation = [*CONVERSATION[:3], answered("c1", long), *CONVERSATION[4:]]
    trace = send(live_server, "ca" * 15 + "02", conversation, tools=("get_order", "refund"))
    made = evals("from-trace", trace, "--step", "4", "--bad", "--expect", "tool refund amount=5").data
    suite = Suite("evals/captured")
    case = suite.case(made["id"])
    assert made["bytes"] < 4_000
    assert json.loads(case.input.messages[-1]["content"]) == long
    assert next(check.name for check in case.checks) == 'tool refund {"amount": 5}'
    assert case.stubs.calls[0].name == "refund"
    again = evals("from-trace", trace, "--step", "4", "--bad", "--expect", "tool refund amount=5")
    assert again.error["got"] == case.id
    assert evals("from-trace", trace, "--step", "4", "--good", "--overwrite").data["verdict"] == "good"


def test_several_traces_of_a_session_are_one_case(evals: Evals, live_server: LiveServer) -> None:
    begun = [said("user", "hello"), said("assistant", "How can I help?")]
    send(live_server, "ca" * 15 + "03", begun, session="s-two")
    rest = [*begun, said("user", "refund A-4411"), *CONVERSATION[2:]]
    send(live_server, "ca" * 15 + "04", rest[2:], session="s-two")
    made = evals("from-trace", "s-two", "--suite", "s").data
    case = Suite("s").case(made["id"])
    assert case.input.turns == ("hello", "refund A-4411")
    assert [one.name for one in case.stubs.calls] == ["get_order", "refund"]


def test_what_cannot_be_captured_is_said(evals: Evals, trace: str, live_server: LiveServer) -> None:
    assert evals("from-trace", "feed" * 8).code == 3
    assert evals("from-trace", trace, "--step", "1").error["message"].startswith("only model calls decide")
    assert evals("from-trace", trace, "--step", "99").code == 3
    assert evals("from-trace", trace, "--expect", "refund 5").code == 2
    silent: list[dict[str, Any]] = [{"role": "user", "parts": []}, {"role": "assistant", "parts": []}]
    bare = send(live_server, "ca" * 15 + "05", silent)
    assert "not recorded" in evals("from-trace", bare).error["message"]


def test_what_real_clients_recorded_becomes_a_case_or_is_refused_with_the_reason(
    evals: Evals, live_server: LiveServer
) -> None:
    traces = live_server.sql("SELECT trace_id FROM traces WHERE startsWith(trace_id, '00000000') AND model_calls > 0")
    made = 0
    for (trace,) in traces:
        found = evals("from-trace", str(trace), "--suite", "real")
        assert found.code == 0 or "not recorded" in found.error["message"], found.err
        made += found.code == 0
    assert made >= 5
    suite = Suite("real")
    assert (len(suite.places()), suite.broken()) == (made, [])
    assert all(case.stubs.calls or case.checks for case in suite.cases())
