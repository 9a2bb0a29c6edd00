"""The page of online evals: rates and their course, what is unscored and why, the worst traces, and nothing without a scorer."""

from __future__ import annotations

from starlette.testclient import TestClient

from .markup import Markup


def test_scorers_say_how_sure_a_rate_is_and_what_has_no_score(full: TestClient) -> None:
    page = Markup.read(full.get("/evals/online").text)
    assert page.wrong == []
    text = " ".join(page.text.split())
    assert "The judge is not calibrated: 11 labelled items truly pass; 30 are needed" in text
    assert "money of the day is spent" in text and "does not run" in text and "about to start" in text
    assert "31 unscored" in text and "the money of the day was spent 19" in text
    assert "$0.41" in text and "The policy file is wrong" in text
    links = [one.attributes["href"] for one in page.named("a") if "cover" in one.attributes.get("class", "")]
    assert f"/traces/{'a1b2c3d4' * 4}" in links
    assert f"/traces/{'b1b2c3d4' * 4}?step=a1b2c3d4e5f60718" in links
    assert any(link.startswith("/sessions/") for link in links)


def test_each_day_is_a_point_with_its_interval(full: TestClient) -> None:
    page = Markup.read(full.get("/evals/online?days=14").text)
    trends = [one for one in page.named("svg") if one.attributes.get("class") == "online-trend"]
    assert len(trends) == 3
    # One day of fourteen has no score, and is no point at 0.
    assert sum(one.attributes.get("class") == "point" for one in page.named("rect")) == 3 * 13
    assert "nothing scored" not in page.text and "none of" in page.text


def test_without_a_scorer_the_page_says_how_to_write_one(empty: TestClient) -> None:
    page = Markup.read(empty.get("/evals/online").text)
    assert "No production trace is scored" in page.text and "check: finished" in page.text


def test_the_same_as_json_and_markdown(full: TestClient) -> None:
    rows = full.get("/evals/online.json").json()["overview"]["scorers"]
    assert [row["name"] for row in rows] == ["helpful", "cheap", "whole-talk", "polite", "new"]
    assert "helpful" in full.get("/evals/online.md").text
    assert full.get("/evals/online.json?days=0").status_code == 400
