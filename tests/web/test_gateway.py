"""The page of the gateway: health, traffic, caches; and how to connect where nothing is."""

from __future__ import annotations

from starlette.testclient import TestClient

from .markup import Markup
from .sample_policy import HOSTILE


def test_it_says_what_is_in_trouble_and_what_went_through(full: TestClient) -> None:
    html = full.get("/gateway").text
    page = Markup.read(html)
    assert page.wrong == [] and HOSTILE not in html
    text = " ".join(page.text.split())
    assert "Calls, 24 h 1,200" in text and "probe in 17.5 s" in text and "rests 30" in text
    assert "in order" in text and "env:MAIN_KEY" in text
    assert "were asked again: 1 got another answer" in text


def test_prompt_caches_are_read_when_the_page_asks(full: TestClient) -> None:
    assert "system changes" not in full.get("/gateway").text
    part = full.get("/gateway?part=prompts", headers={"hx-request": "true"}).text
    assert part.lstrip().startswith("<section") and "system changes" in part and "<!doctype" not in part
    assert "system changes" in full.get("/gateway?prompts=1").text


def test_without_an_upstream_it_teaches_how_to_connect(empty: TestClient) -> None:
    text = Markup.read(empty.get("/gateway").text).text
    assert "No upstream is named" in text and "/gateway/openai/v1" in text and "env:OPENAI_API_KEY" in text


def test_the_same_as_json(full: TestClient) -> None:
    found = full.get("/gateway.json").json()
    assert found["day"]["total"]["calls"] == 1_200 and found["prompts"] is None
