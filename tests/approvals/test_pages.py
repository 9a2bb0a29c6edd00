"""Deciding on the pages of a real server: forms alone, in the name of whoever is signed in, on to the next."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live_server import LiveServer, running_server

POLICY = """
approvals:
  rules:
    - {name: writes, tool: sql, when: "rows > 10", say: "Change {rows} rows", deadline: 2h}
    - {name: pair, tool: pay, needs: 2, deadline: 1h}
    - {name: never, tool: sql, do: forbid, when: 'args.statement.contains("DROP")'}
"""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    data = tmp_path_factory.mktemp("approval_pages") / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text(POLICY)
    with running_server(data) as live:
        yield live


@pytest.fixture(scope="module")
def ann(server: LiveServer) -> str:
    body = {"name": "ann", "actor_kind": "person", "mode": "admin"}
    return str(api(server, "/keys", body)["data"]["secret"])


def api(server: LiveServer, path: str, body: Any = None) -> Any:
    if body is None:
        return json.loads(server.get(f"/api/v1{path}")[1])
    return json.loads(server.post(f"/api/v1{path}", json.dumps(body).encode(), {"content-type": "application/json"})[1])


def page(server: LiveServer, path: str, key: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Status, where it sends on to, and the page."""
    headers = {"authorization": f"Bearer {key}", "origin": server.url, "sec-fetch-site": "same-origin"}
    data = None if form is None else urllib.parse.urlencode(form).encode()
    try:
        with _OPENER.open(urllib.request.Request(server.url + path, data, headers), timeout=30) as answer:
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("location", ""), error.read().decode()


def asked(server: LiveServer, **body: Any) -> dict[str, Any]:
    return dict(api(server, "/approvals", body)["data"]["approval"])


def test_a_person_decides_on_the_page_and_goes_on_to_the_next(server: LiveServer, ann: str) -> None:
    first = asked(server, tool="sql", rows=11, arguments={"statement": "UPDATE a SET b = 1"})
    second = asked(server, tool="sql", rows=12, arguments={"statement": "UPDATE a SET b = 2"})
    status, _, html = page(server, "/approvals", ann)
    assert status == 200 and html.index(first["approval_id"]) < html.index(second["approval_id"])
    assert ">2</span>" in html, "the side bar counts what waits"
    here = f"/approvals/{first['approval_id']}"
    status, onward, html = page(server, f"{here}/approve", ann, {"digest": "0" * 64})
    assert status == 409 and "it has changed since you looked at it" in html
    status, onward, _ = page(server, f"{here}/approve", ann, {"digest": first["digest"], "text": "go on"})
    assert (status, onward) == (303, f"/approvals/{second['approval_id']}?decided={first['approval_id']}")
    shown = api(server, f"/approvals/{first['approval_id']}")["data"]
    assert (shown["approval"]["state"], shown["approval"]["decided_by"]) == ("approved", "ann")
    status, onward, _ = page(server, f"/approvals/{second['approval_id']}/reject", ann, {"text": "not now"})
    assert (status, onward) == (303, f"/approvals?decided={second['approval_id']}")
    assert api(server, f"/approvals/{second['approval_id']}")["data"]["approval"]["feedback"] == "not now"


def test_an_edit_is_checked_by_the_policy_again(server: LiveServer, ann: str) -> None:
    one = asked(server, tool="sql", rows=11, arguments={"statement": "UPDATE a SET b = 1", "limit": 5})
    here = f"/approvals/{one['approval_id']}"
    form = {"digest": one["digest"], "text.statement": "UPDATE a SET b = 3", "json.limit": "five"}
    status, _, html = page(server, f"{here}/edit", ann, form)
    assert status == 400 and "limit is no JSON" in html
    status, _, _ = page(server, f"{here}/edit", ann, {**form, "json.limit": "2"})
    assert status == 303
    now = api(server, here)["data"]["approval"]
    assert now["arguments"] == {"statement": "UPDATE a SET b = 3", "limit": 2} and now["edited"]
    assert "A reviewer changed it." in page(server, here, ann)[2]


def test_two_people_must_agree_and_one_cannot_twice(server: LiveServer, ann: str) -> None:
    one = asked(server, tool="pay", arguments={"usd": 5})
    here = f"/approvals/{one['approval_id']}"
    assert page(server, f"{here}/approve", ann, {"digest": one["digest"]})[0] == 303
    assert "You have agreed." in page(server, here, ann)[2]
    # The same yes again counts once.
    page(server, f"{here}/approve", ann, {"digest": one["digest"]})
    assert api(server, here)["data"]["approval"]["state"] == "pending"
    assert page(server, f"{here}/ask", ann, {"text": "Who is it for?"})[0] == 303
    assert "Who is it for?" in page(server, "/approvals", ann)[2]


def test_who_is_not_known_to_be_a_person_looks_and_decides_nothing(server: LiveServer) -> None:
    one = asked(server, tool="pay", arguments={"usd": 6})
    here = f"/approvals/{one['approval_id']}"
    html = page(server, here, server.key)[2]
    assert "It is not known which person sits here" in html and f'action="{here}/approve"' not in html
    assert page(server, f"{here}/approve", server.key, {"digest": one["digest"]})[0] == 403
    assert page(server, "/approvals/apr_none/approve", server.key, {"digest": "x"})[0] == 404


def test_a_policy_is_put_in_force_on_its_page_by_a_person_alone(server: LiveServer, ann: str) -> None:
    revision = api(server, "/policy")["data"]["revision"]
    form = {"do": "set", "text": POLICY + "# more\n", "base": revision, "note": "why"}
    status, onward, _ = page(server, "/policy", server.key, form)
    assert status == 303 and "a policy is changed by a person" in page(server, onward, server.key)[2]
    status, onward, _ = page(server, "/policy", ann, form)
    assert (status, onward.partition("=")[0]) == (303, "/policy?written")
    assert (server.data / "pilothouse.yaml").read_text() == POLICY + "# more\n"
    status, onward, _ = page(server, "/policy", ann, {**form, "do": "try", "since": "24h"})
    draft = onward.partition("#")[0]
    for _ in range(200):
        html = page(server, f"{draft}&part=trial", ann)[2]
        if "<progress" not in html:
            break
    assert "No check would have decided differently" in html
