"""Who is told, by which channel, with which link; and that an address stands nowhere."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pilothouse.approvals import Approvals, Links, Notifier
from pilothouse.store.approval_store import ApprovalStore

from .support import ANN, HOUR_S, KEY, PROJECT, WRITES, Clocks, asked, desk

SECTION = {
    **WRITES,
    "notify": {
        "hook": {"webhook": "env:HOOK"},
        "chat": {"slack": "env:CHAT"},
        "ann": {"webhook": "env:ANN", "reviewers": ["ann"]},
    },
}

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


class Receiver:
    """A service that takes webhooks."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, json.loads(body)))
                self.send_response(receiver.status)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def notifier(approvals: Approvals, receiver: Receiver, **environment: str) -> Notifier:
    known = {name: f"{receiver.url}/{name.lower()}/s3cret" for name in ("HOOK", "CHAT", "ANN")}
    links = Links(approvals, key=KEY)
    return Notifier(approvals, links, address=lambda: "https://pilot.example.com/", environment=known | environment)


def test_each_channel_is_told_once_and_only_a_reviewers_own_gets_a_link(
    store: ApprovalStore, receiver: Receiver
) -> None:
    approvals = desk(store, section=SECTION)
    one = asked(approvals)
    notify = notifier(approvals, receiver)
    assert (notify.tell(), notify.tell()) == (3, 0)
    got = dict(receiver.got)
    assert set(got) == {"/hook/s3cret", "/chat/s3cret", "/ann/s3cret"}
    assert got["/hook/s3cret"]["links"] == {} and got["/hook/s3cret"]["digest"] == one.digest
    assert set(got["/chat/s3cret"]) == {"text"} and "/approve/" not in got["/chat/s3cret"]["text"]
    assert f"https://pilot.example.com/approvals/{one.approval_id}" in got["/chat/s3cret"]["text"]
    link = got["/ann/s3cret"]["links"]["ann"]
    token = link.removeprefix("https://pilot.example.com/approve/")
    assert Links(approvals, key=KEY).decide(token, yes=True).state == "approved"
    assert {row.state for row in approvals.notices(PROJECT, one.approval_id)} == {"delivered"}


def test_what_fails_is_tried_again_then_given_up_and_no_address_is_noted(
    store: ApprovalStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks, {**SECTION, "notify": {"hook": {"webhook": "env:HOOK"}}})
    one = asked(approvals)
    receiver.status = 302
    notify = notifier(approvals, receiver)
    with caplog.at_level(logging.WARNING):
        assert notify.tell() == 0
    [row] = approvals.notices(PROJECT, one.approval_id)
    assert (row.state, row.tries, row.detail["error"]) == ("waiting", 1, "the channel answered 302")
    assert notify.tell() == 0 and len(receiver.got) == 1, "not before its time, and no redirection is followed"
    receiver.status = 200
    clocks.passes(10)
    assert notify.tell() == 1
    receiver.server.server_close()
    two = asked(approvals)
    for _ in range(9):
        notify.tell()
        clocks.passes(2 * HOUR_S)
    rows = approvals.notices(PROJECT, two.approval_id)
    first = next(row for row in rows if row.kind == "asked")
    assert (first.state, first.tries) == ("failed", 8)
    assert "s3cret" not in caplog.text + str(rows)


def test_a_server_that_was_killed_while_it_told_tells_again(store: ApprovalStore, receiver: Receiver) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks, {**SECTION, "notify": {"hook": {"webhook": "env:HOOK"}}})
    asked(approvals)
    # Taken, and never heard of again.
    assert len(store.take_notices(approvals.now_ns(), again_ns=approvals.now_ns() + 120 * 10**9, limit=20)) == 1
    assert notifier(approvals, receiver).tell() == 0
    clocks.passes(120)
    assert notifier(approvals, receiver).tell() == 1


def test_escalation_questions_and_the_end_are_told(store: ApprovalStore, receiver: Receiver) -> None:
    clocks = Clocks()
    approvals = desk(store, clocks, {**SECTION, "notify": {"hook": {"webhook": "env:HOOK"}}})
    one = asked(approvals)
    approvals.question(PROJECT, one.approval_id, ANN, text="which orders?")
    clocks.passes(HOUR_S)
    approvals.sweep()
    clocks.passes(3 * HOUR_S)
    approvals.sweep()
    notifier(approvals, receiver).tell()
    assert [body["event"] for _, body in receiver.got] == ["asked", "question", "escalated", "expired"]
    assert "which orders?" in receiver.got[1][1]["text"]


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "env:HOOK is empty"),
        ("ftp://x", "no URL of http"),
        ("http://[", "ValueError"),
        ("http://127.0.0.1:1/s3cret", "does not answer"),
    ],
)
def test_a_channel_without_a_good_address_is_noted(
    store: ApprovalStore, receiver: Receiver, secret: str, said: str
) -> None:
    approvals = desk(store, section={**SECTION, "notify": {"hook": {"webhook": "env:HOOK"}}})
    one = asked(approvals)
    notifier(approvals, receiver, HOOK=secret).tell()
    [row] = approvals.notices(PROJECT, one.approval_id)
    assert row.state == "waiting" and said in row.detail["error"] and "s3cret" not in str(row)


def test_apprise_is_asked_where_it_is_installed(store: ApprovalStore, receiver: Receiver) -> None:
    pytest.importorskip("apprise")
    section = {**SECTION, "notify": {"mail": {"apprise": "env:HOOK", "reviewers": ["ann"]}}}
    approvals = desk(store, section=section)
    asked(approvals)
    address = receiver.url.replace("http://", "json://")
    assert notifier(approvals, receiver, HOOK=address).tell() == 1
    [(_, body)] = receiver.got
    assert "Needs approval: Change 5,000 rows" in body["title"] and "/approve/" in body["message"]
