"""The pages of runs of suites: how they went over time, and one of them by part, by case and against another."""

from __future__ import annotations

from starlette.testclient import TestClient

from .conftest import EVALS
from .markup import Markup


def text_of(client: TestClient, address: str) -> str:
    page = Markup.read(client.get(address).text)
    assert page.wrong == []
    return " ".join(page.text.split())


def test_suites_and_runs_show_rate_interval_and_verdict(full: TestClient) -> None:
    html = full.get("/evals").text
    text = text_of(full, "/evals")
    assert "81.2 % 70.0 to 88.9" in text and "−8" in text and "not enough data" in text
    assert "coming in" in text and "8 runs" in text
    course = [one for one in Markup.read(html).named("svg") if one.attributes.get("class") == "eval-course"]
    assert course[1].attributes["aria-label"] == "pass rate of 6 runs, 90.6 % at first, 81.2 % now"
    assert html.count('class="mark failed"') == 1
    only = text_of(full, "/evals?suite=refunds")
    assert "6 runs" in only and "Runs of refunds" in only


def test_without_a_run_the_page_teaches_the_two_commands(empty: TestClient) -> None:
    text = text_of(empty, "/evals")
    assert "pilothouse eval run" in text and "pilothouse eval push" in text


def test_a_run_is_taken_apart_and_its_cases_are_chosen(full: TestClient) -> None:
    address = f"/evals/runs/{EVALS[2]}"
    text = text_of(full, f"{address}?by=customer")
    assert "By customer" in text and "52" in text and "64 cases" in text
    assert "customer 4" in text and "week 3" in text and "quarantined" in text and "critical" in text
    acme = text_of(full, f"{address}?where=customer%3Dacme&only=flaky")
    assert "case-0000" in acme and "case-0001" not in acme
    case = text_of(full, f"{address}?case=case-0001")
    assert "attempt 2" in case and "get_order" in case and "You get 1 EUR back" in case
    assert full.get(f"{address}?only=nonsense").status_code == 400
    assert full.get("/evals/runs/evr_unknown").status_code == 404


def test_two_runs_are_compared_with_links_to_the_diff(full: TestClient) -> None:
    address = f"/evals/runs/{EVALS[2]}?against={EVALS[3]}"
    page = Markup.read(full.get(address).text)
    text = " ".join(page.text.split())
    assert "8 regressed" in text and "exact McNemar" in text and "mid-p" in text and "52 passed in both" in text
    links = [
        one.attributes["href"] for one in page.named("a") if one.attributes.get("href", "").startswith("/compare?a=")
    ]
    assert len(links) == 10
    only = text_of(full, f"{address}&bucket=flaky")
    assert "regressed case-" not in only
    data = full.get(f"/evals/runs/{EVALS[2]}.json?against={EVALS[3]}").json()
    assert (data["compared"]["verdict"], data["compared"]["counts"]["regressed"]) == ("fail", 8)
    assert data["run"]["held"]["baseline"] == EVALS[3]
    markdown = full.get(f"/evals/runs/{EVALS[2]}.md").text
    assert "pass_rate" in markdown and "case-0001" in markdown
