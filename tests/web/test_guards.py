"""The page of guards: what they did, what people call wrong, and switches that are thrown from it."""

from __future__ import annotations

from starlette.testclient import TestClient

from .conftest import SampleProvider, client_of
from .markup import Markup
from .sample_policy import HOSTILE
from .sample_reader import SampleReader

OURS = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}


def test_it_says_what_the_guards_did_and_which_check_is_too_strict(full: TestClient) -> None:
    page = Markup.read(full.get("/guards").text)
    assert page.wrong == []
    text = " ".join(page.text.split())
    assert "Texts checked 2,100" in text and "Blocked 8" in text and "Check was down 3" in text
    assert text.count("too strict?") == 1 and "marked wrong" in text
    links = [one.attributes.get("href", "") for one in page.named("a")]
    assert f"/traces/{'ab' * 16}/spans/1" in links
    hidden = [one.attributes for one in page.named("input") if one.attributes.get("name") == "name"]
    assert any(one.get("value") == "guard_wrong_input" for one in hidden)


def test_without_traffic_it_teaches_how_to_begin(empty: TestClient) -> None:
    text = Markup.read(empty.get("/guards").text).text
    assert "Nothing was checked in this time" in text and "pilothouse.yaml" in text


def test_words_of_traces_are_no_markup(full: TestClient) -> None:
    html = full.get("/guards").text
    assert HOSTILE not in html and "<script>alert" not in html


def test_a_switch_is_thrown_by_a_form_and_by_nobody_elses(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    sent = {"do": "off", "kind": "agent", "name": "refunds", "reason": "pays twice", "sure": "yes"}
    with client_of(provider) as client:
        assert client.post("/guards/switches", data=sent, headers={"origin": "http://evil.test"}).status_code == 403
        assert provider.writer.forms == []
        answer = client.post("/guards/switches", data=sent, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/guards#switches")
        assert provider.writer.forms == [sent]
