"""The page of logs and the tab of a trace: grouped by reason, steps linked, text of others harmless."""

from __future__ import annotations

from starlette.testclient import TestClient

from .conftest import HOSTILE_TRACE, RESEARCH
from .markup import Markup


def test_the_tab_groups_lines_by_reason_and_leads_to_steps(full: TestClient) -> None:
    page = Markup.read(full.get(f"/traces/{RESEARCH}?view=logs").text)
    for words in ("Trace id", "certain", "Shared id", "high", "Errors that never became spans", "Out of memory"):
        assert words in page.text
    assert "Same place, same time" not in page.text
    steps = [
        link
        for link in page.named("a")
        # Without a title it is the step that a note is on.
        if link.attributes.get("href", "").startswith(f"/traces/{RESEARCH}/spans/") and "title" in link.attributes
    ]
    assert len(steps) == 5
    wider = Markup.read(full.get(f"/traces/{RESEARCH}?view=logs&infra=1").text)
    assert "Same place, same time" in wider.text
    assert "CardError: declined" in wider.text


def test_the_tab_has_its_twins(full: TestClient) -> None:
    data = full.get(f"/traces/{RESEARCH}.json?view=logs&infra=1").json()
    assert [group["reason"] for group in data["logs"]["groups"]] == ["trace_id", "request_id", "time"]
    text = full.get(f"/traces/{RESEARCH}.md?view=logs").text
    assert "card declined" in text
    assert full.get(f"/traces/{RESEARCH}?view=logs&level=loud").status_code == 400


def test_the_list_can_be_narrowed_and_says_its_command(full: TestClient) -> None:
    page = Markup.read(full.get("/logs?service=shop&level=warn&q=card").text)
    assert "pilothouse logs search card --service shop --level warn" in page.text
    facets = [link.attributes["href"] for link in page.named("a") if "facet" in link.attributes.get("class", "")]
    assert any("service=&" in href or "service=shop" not in href for href in facets)
    assert full.get("/logs.json?q=card").json()["logs"]["items"][0]["body"] == "card declined"
    assert "card declined" in full.get("/logs.md").text


def test_errors_no_span_tells_of_have_a_page(full: TestClient) -> None:
    text = Markup.read(full.get("/logs?show=lost").text).text
    assert "no step of its trace failed, agent support" in text
    assert "its trace has no span here" in text


def test_where_there_are_none_the_page_teaches_three_ways(empty: TestClient) -> None:
    text = Markup.read(empty.get("/logs").text).text
    for words in ("pilothouse.logging_handler()", "pilothouse logs follow", "otlphttp", "http://pilothouse.test:4318"):
        assert words in text


def test_lines_are_text_and_nothing_else(full: TestClient) -> None:
    for address in ("/logs", f"/traces/{HOSTILE_TRACE}?view=logs"):
        html = full.get(address).text
        assert "<script>alert" not in html
        assert "<b>bold" not in html
        assert "\u202e" not in html
