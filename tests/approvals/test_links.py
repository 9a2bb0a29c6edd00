"""Signed links: they show when they are opened, decide when they are pressed, once, and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pilothouse.approvals import Approvals, Links
from pilothouse.records import Forbidden, NotApproved
from pilothouse.store.approval_store import ApprovalStore
from pilothouse.web import approve as pages

from .support import ANN, BEN, HOUR_S, KEY, PROJECT, Clocks, asked, desk

pytestmark = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def approvals(store: ApprovalStore, clocks: Clocks) -> Iterator[Approvals]:
    yield desk(store, clocks)


@pytest.fixture
def links(approvals: Approvals) -> Links:
    return Links(approvals, key=KEY)


@pytest.fixture
def client(links: Links) -> TestClient:
    app = FastAPI()
    app.include_router(pages.build(links))
    return TestClient(app)


def test_opening_shows_and_only_the_button_decides(approvals: Approvals, links: Links, client: TestClient) -> None:
    one = asked(approvals)
    path = f"/approve/{links.make(one, 'ann')}"
    for _ in range(3):
        # Mail scanners and chats open every link they see.
        shown = client.get(path)
        assert shown.status_code == 200 and "Change 5,000 rows: DELETE FROM orders" in shown.text
        assert shown.headers["cache-control"] == "no-store" and shown.headers["referrer-policy"] == "no-referrer"
        assert client.head(path).status_code == 200
    assert approvals.find(PROJECT, one.approval_id).state == "pending"
    pressed = client.post(path, data={"decision": "approve", "text": "go"})
    assert pressed.status_code == 200 and "It is approved" in pressed.text
    found = approvals.find(PROJECT, one.approval_id)
    assert (found.state, found.decided_by, found.agreed) == ("approved", "ann", ("ann",))
    for _ in range(2):
        again = client.post(path, data={"decision": "reject", "text": "no"})
        assert again.status_code == 409 and "this link was used before" in again.text
    assert approvals.find(PROJECT, one.approval_id).state == "approved"


def test_a_link_that_was_changed_decides_nothing(approvals: Approvals, links: Links, client: TestClient) -> None:
    one = asked(approvals)
    token = links.make(one, "ann")
    body, _, signature = token.partition(".")
    row = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps({**row, "r": "ben"}, sort_keys=True).encode()).decode().rstrip("=")
    other = Links(approvals, key=bytes(range(1, 33))).make(one, "ann")
    changed = [f"{forged}.{signature}", other, token[:-1], token + "A", token + "=", f"{body}.", "x", "x.y", "ä.ö"]
    changed += [token.replace(body[10], "-" if body[10] != "-" else "_", 1), f"{body}.{one.digest}"]
    for wrong in changed:
        for answer in (client.get(f"/approve/{wrong}"), client.post(f"/approve/{wrong}", data={"decision": "approve"})):
            assert answer.status_code == 409 and "not whole, or none of ours" in answer.text, wrong
    assert approvals.find(PROJECT, one.approval_id).state == "pending"


def test_a_link_ends_with_its_deadline_whatever_the_clock_says_later(
    approvals: Approvals, links: Links, client: TestClient, clocks: Clocks
) -> None:
    one = asked(approvals)
    path = f"/approve/{links.make(one, 'ann')}"
    clocks.passes(4 * HOUR_S)
    assert "this link has expired" in client.get(path).text
    clocks.jump(-10 * HOUR_S)
    assert client.post(path, data={"decision": "approve"}).status_code == 409


def test_a_link_is_bound_to_its_action_and_its_reviewer(approvals: Approvals, links: Links) -> None:
    one = asked(approvals)
    old, stranger = links.make(one, "ann"), links.make(one, "mallory")
    with pytest.raises(Forbidden, match="others decide this"):
        links.decide(stranger, yes=True)
    # A reviewer it was taken from cannot decide by an old link either.
    approvals.delegate(PROJECT, one.approval_id, ANN, to="carol")
    with pytest.raises(Forbidden):
        links.decide(old, yes=True)
    two = asked(approvals)
    sent = links.make(two, "ann")
    approvals.edit(PROJECT, two.approval_id, BEN, digest=two.digest, arguments={"statement": "SELECT 1"})
    assert links.open(sent).changed
    with pytest.raises(NotApproved, match="has changed since this link was sent"):
        links.decide(sent, yes=True)


def test_a_rejection_by_link_says_why(approvals: Approvals, links: Links, client: TestClient) -> None:
    one = asked(approvals)
    path = f"/approve/{links.make(one, 'ben')}"
    assert "say why" in client.post(path, data={"decision": "reject", "text": " "}).text
    assert client.post(path, data={"decision": "everything"}).status_code == 400
    assert client.post(path, data={"decision": "reject", "text": "use a soft delete"}).status_code == 200
    found = approvals.find(PROJECT, one.approval_id)
    assert (found.state, found.feedback, found.decided_by) == ("rejected", "use a soft delete", "ben")


def test_what_an_agent_wrote_is_text_on_the_page(approvals: Approvals, links: Links, client: TestClient) -> None:
    from pilothouse.approvals import Action

    script = "<script>alert(1)</script>"
    one = asked(approvals, Action(tool="sql", arguments={"statement": script}, rows=2_000))
    assert "<script>alert" not in client.get(f"/approve/{links.make(one, 'ann')}").text
