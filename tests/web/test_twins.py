"""Each page is also JSON and Markdown at the same address, from the same context."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from pilothouse.web.format import revealed
from pilothouse.web.markdown import CELL_MAX, as_markdown
from pilothouse.web.visit import agent_url

from .conftest import ADDRESSES, HOSTILE_TRACE, RESEARCH, SampleProvider, client_of, twin
from .markup import Markup
from .sample import NOW_NS, SECOND, Scene
from .sample_reader import SampleReader


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for entry in value.values() for leaf in leaves(entry)]
    if isinstance(value, list):
        return [leaf for entry in value for leaf in leaves(entry)]
    return [value]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_has_both_twins(full: TestClient, address: str) -> None:
    """JSON by suffix, by header and by parameter is the same; Markdown starts with the same title."""
    data = full.get(twin(address, "json"))
    assert data.status_code == 200
    assert data.headers["content-type"] == "application/json"
    assert data.json() == full.get(address, headers={"Accept": "application/json"}).json()
    text = full.get(twin(address, "md"))
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text.startswith("# ")
    assert full.get(address, headers={"Accept": "text/markdown"}).text == text.text


@pytest.mark.parametrize("address", ["/fleet", "/doctor", "/sessions/chat-1", f"/traces/{RESEARCH}/spans/2", "/sql"])
def test_markdown_holds_what_json_holds(full: TestClient, address: str) -> None:
    """Every number and every short text of the JSON stands in the Markdown."""
    data = full.get(twin(address, "json")).json()
    text = full.get(twin(address, "md")).text.replace("\\", "")
    for leaf in leaves(data):
        if isinstance(leaf, (bool, type(None))) or leaf == "":
            continue
        word = " ".join(revealed(str(leaf)).split())
        assert word[: CELL_MAX // 2] in " ".join(text.split()), leaf


def test_html_holds_what_json_holds(full: TestClient) -> None:
    """The facts of a trace are on its page in words people read."""
    row = full.get(f"/traces/{RESEARCH}.json").json()["trace"]
    text = Markup.read(full.get(f"/traces/{RESEARCH}").text).text
    for field in ("root_name", "agent", "agent_version", "user_id", "environment", "feature", "service", "first_error"):
        assert row[field] in text
    for name in (*row["models"], *row["tools"], *row["tags"]):
        assert name in text


def test_money_is_never_a_float_in_json(full: TestClient) -> None:
    """Decimal amounts are strings, so that no reader rounds them."""
    row = full.get(f"/traces/{RESEARCH}.json").json()["trace"]
    assert re.fullmatch(r"\d+\.\d+", row["cost_usd"])


def test_a_page_names_its_twins(full: TestClient) -> None:
    """Both are linked from the page, with the same question."""
    page = Markup.read(full.get("/traces?q=agent:support&part=").text)
    links = {
        e.attributes.get("type"): e.attributes["href"]
        for e in page.named("link")
        if e.attributes.get("rel") == "alternate"
    }
    assert links["application/json"].startswith("/traces.json?")
    assert "q=agent%3Asupport" in links["text/markdown"]


def test_markdown_keeps_hostile_text_inside_its_fence(full: TestClient) -> None:
    """No text of a trace becomes a heading, a link or a table cell of the document."""
    text = full.get(f"/traces/{HOSTILE_TRACE}.md").text
    assert "\u202e" not in text
    assert "\x1b" not in text
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "[click](javascript" not in outside
    assert "<script>" not in outside.replace("\\<", "")
    evil = "line\n# heading\n```\n~~~\n````\n| a | b |\n[x](javascript:1)" + "y" * 200
    made = as_markdown("t", {"text": evil, "rows": [{"a": evil, "b": 1}]}, address="/x")
    fence = re.search(r"^(`{3,})text$", made, re.MULTILINE)
    assert fence is not None
    assert len(fence[1]) == 5
    inside = made.split(fence[0])[1].split(f"\n{fence[1]}\n")[0]
    assert "# heading" in inside
    assert not any(line.startswith("# heading") for line in made.replace(inside, "").splitlines())


ODD_NAME = "Agent of a/b? 100% #1 & co.json"


def test_the_links_to_the_twins_lead_to_them() -> None:
    """Also where the name in the address holds what an address may not."""
    odd = Scene(name="odd", start_ns=NOW_NS - SECOND, agent=ODD_NAME)
    odd.span("agent", ODD_NAME, 0, 10)
    with client_of(SampleProvider(SampleReader((odd,)))) as client:
        page = Markup.read(client.get(agent_url(ODD_NAME)).text)
        address = next(e.attributes["href"] for e in page.named("link") if e.attributes.get("rel") == "alternate")
        assert client.get(address).json()["agent"] == ODD_NAME
