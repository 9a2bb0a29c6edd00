"""The pages of queues: progress, the view to label in, which needs no script, and the taxonomy with its history."""

from __future__ import annotations

from starlette.testclient import TestClient

from .conftest import SampleProvider, client_of
from .markup import Markup
from .sample_reader import SampleReader

OURS = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}


def test_the_list_says_how_far_each_queue_is_and_leads_to_what_is_left(full: TestClient) -> None:
    page = Markup.read(full.get("/queues").text)
    for word in ("refunds", "12 of 50", "10 of 12", "Label 36", "the queue is closed"):
        assert word in page.text, word
    links = {e.attributes.get("href") for e in page.named("a")}
    assert {"/queues/refunds/next", "/queues/failures/next"} <= links and "/queues/old/next" not in links


def test_an_empty_list_teaches(empty: TestClient) -> None:
    page = Markup.read(empty.get("/queues").text)
    assert "Nobody has been asked yet" in page.text and "pilothouse queues add refunds --disagree" in page.text
    assert [e.attributes["action"] for e in page.named("form") if "queues" in e.attributes["action"]] == [
        "/queues/make/make"
    ]


def test_the_view_to_label_in_is_one_form_with_a_key_for_each_choice(full: TestClient) -> None:
    page = Markup.read(full.get("/queues/failures/next").text)
    buttons = [e.attributes for e in page.named("button") if e.attributes.get("name") == "choice"]
    assert [one["value"] for one in buttons] == [f"category-{number}" for number in range(1, 13)]
    assert [one.get("data-key") for one in buttons] == [*map(str, range(1, 10)), None, None, None]
    ways = {e.attributes["formaction"] for e in page.named("button") if "formaction" in e.attributes}
    assert ways == {"/queues/failures/skip", "/queues/failures/undo"}
    for word in ("What went wrong first?", "12 later steps", "812 characters more", "the step to label"):
        assert word in page.text, word


def test_nobody_elses_word_stands_in_the_view(full: TestClient) -> None:
    text = Markup.read(full.get("/queues/refunds/next").text).text
    assert "ada" not in text and "agree" not in text
    assert "You said pass" in Markup.read(full.get("/queues/refunds/next?item=1").text).text


def test_a_label_goes_on_to_the_next_item(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        sent = {"number": "4", "choice": "fail", "note": "the amount"}
        answer = client.post("/queues/refunds/label", data=sent, headers=OURS, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/queues/refunds/next?last=4")
        assert provider.writer.forms == [{"queue": "refunds", "verb": "label", **sent}]
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert client.post("/queues/refunds/label", data=sent, headers=foreign).status_code == 403
    assert len(provider.writer.forms) == 1


def test_a_taxonomy_has_counts_examples_and_its_history(full: TestClient) -> None:
    page = Markup.read(full.get("/queues/failures").text)
    for word in ("Taxonomy", "category-1", "3 items", "also earlier-name", "rename", "earlier-name → category-1"):
        assert word in page.text, word
    found = full.get("/queues/failures.json").json()
    assert found["taxonomy"]["categories"][0]["by_day"] == {"2026-11-18": 1, "2026-11-20": 2}
    assert full.get("/queues/nowhere").status_code == 404


def test_hostile_words_are_words(full: TestClient) -> None:
    for address in ("/queues", "/queues/refunds", "/queues/failures", "/queues/refunds/next"):
        html = full.get(address).text
        assert "<script>alert" not in html and "\u202e" not in html
