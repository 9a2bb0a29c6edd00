"""``pilothouse delete`` against a real server: an agent is sent to a page, a person's script says yes."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest

from tests.annotations.test_commands import Shell, shell  # noqa: F401  # the fixture


@pytest.fixture(scope="module")
def traces(shell: Shell) -> list[str]:  # noqa: F811
    return [row["trace_id"] for row in shell.data("ls", "--limit", "5", "--fields", "trace_id")]


def test_an_agent_asks_and_a_person_confirms_on_the_page(shell: Shell, traces: list[str]) -> None:  # noqa: F811
    agent = {"CLAUDECODE": "1", "PILOTHOUSE_MODE": "write"}
    code, answer = shell.run("delete", traces[0], CLAUDECODE="1", PILOTHOUSE_MODE="annotate")
    assert code == 4
    dry = shell.data("delete", traces[0], "--dry-run", **agent)
    assert dry["state"] == "planned" and dry["takes"]["traces"] == 1 and dry["takes"]["spans"] >= 1
    code, answer = shell.run("delete", traces[0], **agent)
    assert code == 8 and answer["error"]["kind"] == "needs_approval", answer
    page = answer["error"]["fix"]
    assert page.startswith(shell.server.url + "/deletions/del_")
    # An agent cannot say yes for a person.
    code, again = shell.run("delete", traces[0], "--yes", PILOTHOUSE_PERSON="1", **agent)
    assert code == 8 and again["error"]["fix"] == page

    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    browser.open(shell.data("sign-in", PILOTHOUSE_PERSON="1")["url"]).read()
    shown = browser.open(page).read().decode()
    assert "claude-code" in shown and traces[0] in shown and "Delete it" in shown
    form = urllib.parse.urlencode({"back": urllib.parse.urlsplit(page).path}).encode()
    foreign = urllib.request.Request(page + "/confirm", data=form, headers={"Origin": "https://evil.test"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        browser.open(foreign)
    assert refused.value.code == 403
    assert shell.data("show", traces[0], "--as", "breakdown")
    own = urllib.request.Request(page + "/confirm", data=form, headers={"Origin": shell.server.url})
    assert "is deleted" in browser.open(own).read().decode()
    code, answer = shell.run("show", traces[0])
    assert code == 3
    assert shell.server.sql(f"SELECT count() FROM spans WHERE trace_id = '{traces[0]}'") == [[0]]


def test_a_persons_script_says_yes(shell: Shell, traces: list[str]) -> None:  # noqa: F811
    code, answer = shell.run("delete", traces[1], "--yes")
    assert code == 2 and "PILOTHOUSE_PERSON=1" in answer["error"]["fix"]
    # Without a terminal and a word of a person, a script is taken for an agent.
    code, answer = shell.run("delete", traces[1])
    assert code == 8
    done = shell.data("delete", traces[1], "--yes", PILOTHOUSE_PERSON="1")
    assert done["state"] == "done" and done["target_id"] == traces[1]
    assert shell.run("show", traces[1])[0] == 3
