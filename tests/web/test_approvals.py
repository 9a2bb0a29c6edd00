"""The queue of approvals and the page on which one is decided: no script is needed, hostile words are words."""

from __future__ import annotations

import json
import random

import pytest
from starlette.testclient import TestClient

from pilothouse.web.approval_text import arguments_of, edited, looks_like_sql, sql_lines

from .conftest import SampleProvider, client_of
from .markup import Markup
from .sample_approvals import STATEMENT
from .sample_reader import SampleReader

OURS = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}


def test_the_queue_says_what_how_far_and_how_long(full: TestClient) -> None:
    page = Markup.read(full.get("/approvals").text)
    for word in ("Void 1 orders", "4,210 rows", "$12.50", "10m 00s left", "then carol in 20 min", "0 of 2 agree"):
        assert word in page.text, word
    rows = [e.attributes["data-href"] for e in page.elements if "data-href" in e.attributes]
    assert rows == ["/approvals/apr_01", "/approvals/apr_02", "/approvals/apr_03"]


def test_where_nothing_waits_a_rule_is_shown(empty: TestClient) -> None:
    text = Markup.read(empty.get("/approvals").text).text
    assert "Nothing has waited for a person yet" in text and "when: rows > 100" in text


def test_everything_a_decision_needs_is_on_the_page(full: TestClient) -> None:
    page = Markup.read(full.get("/approvals/apr_01").text)
    for word in ("They were never paid.", "Fewer open orders.", "No way back is named.", "dry run, rolled back"):
        assert word in page.text, word
    assert {e.attributes["action"] for e in page.named("form") if "/approvals/" in e.attributes["action"]} == {
        f"/approvals/apr_01/{verb}" for verb in ("approve", "reject", "edit", "ask", "delegate")
    }
    digests = [e.attributes["value"] for e in page.named("input") if e.attributes.get("name") == "digest"]
    assert digests == ["ab" * 32] * 2


def test_hostile_words_are_words(full: TestClient) -> None:
    for address in ("/approvals", "/approvals/apr_01", "/approvals/apr_03", "/approvals/apr_09"):
        html = full.get(address).text
        assert "<script>alert" not in html and "\u202e" not in html
        assert not any(e.attributes.get("href", "").startswith("javascript") for e in Markup.read(html).named("a"))


def test_what_a_reviewer_changed_stands_beside_it(full: TestClient) -> None:
    text = Markup.read(full.get("/approvals/apr_02").text).text
    assert "A reviewer changed it." in text
    assert "- AND country = 'DE'" in " ".join(text.split()) and "+ AND country = 'FR'" in " ".join(text.split())


def test_a_decision_goes_on_to_the_next(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        answer = client.post("/approvals/apr_01/approve", data={"digest": "ab" * 32, "text": "fine"}, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/approvals/apr_02?decided=apr_01")
        assert provider.writer.forms == [{"id": "apr_01", "verb": "approve", "digest": "ab" * 32, "text": "fine"}]


def test_a_refused_decision_keeps_the_words_and_says_why(sample: SampleReader) -> None:
    with client_of(SampleProvider(sample)) as client:
        answer = client.post("/approvals/apr_01/reject", data={"text": "refuse me"}, headers=OURS)
    page = Markup.read(answer.text)
    assert answer.status_code == 409 and "it has changed since you looked at it" in page.text
    assert "refuse me" in page.text and page.wrong == []


def test_another_site_decides_nothing(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        answer = client.post("/approvals/apr_01/approve", data={"digest": "x"}, headers={"origin": "http://evil.test"})
    assert answer.status_code == 403 and provider.writer.forms == []


def test_what_waits_is_counted_on_every_page(sample: SampleReader) -> None:
    assert "decision-keys" in client_of(SampleProvider(sample)).get("/approvals").text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (STATEMENT, ["UPDATE orders", "SET status = 'void'", "WHERE paid = 0", "  AND country = 'FR'"]),
        ("select a from t left join u on t.x = u.x", ["select a", "from t", "left join u", "  on t.x = u.x"]),
        ("DELETE FROM t WHERE note = 'from where and' -- or so", ["DELETE", "FROM t", "WHERE note = 'from where and' -- or so"]),
        ("INSERT INTO t (a, b) VALUES (1, (SELECT max(x) FROM u))", ["INSERT INTO t (a, b)", "VALUES (1, (SELECT max(x) FROM u))"]),
    ],
)  # fmt: skip
def test_sql_is_laid_out_by_clause(text: str, lines: list[str]) -> None:
    assert sql_lines(text).splitlines() == lines


def test_laying_out_changes_nothing_but_blanks() -> None:
    seed = 5
    random_ = random.Random(seed)
    pieces = [
        "select",
        " ",
        "'a '' b'",
        "from",
        "(",
        ")",
        "\n",
        "and",
        "--x\n",
        '"or"',
        ";",
        "é",
        ",",
        "1",
        "/* and */",
    ]
    for _ in range(500):
        text = "".join(random_.choice(pieces) for _ in range(random_.randrange(1, 30)))
        assert "".join(sql_lines(text).split()) == "".join(text.split()), (seed, text)


def test_text_that_is_no_sql_is_left_alone() -> None:
    assert not looks_like_sql("body", "Hello, please update me")
    assert not looks_like_sql("title", "Select wisely")
    assert looks_like_sql("sql", "drop table t")


def test_an_edit_changes_only_what_was_changed() -> None:
    arguments = {"sql": "a\r\nb", "limit": 10, "to": ["x"], "note": "n"}
    same = {
        f"{'text' if isinstance(value, str) else 'json'}.{name}": (
            value if isinstance(value, str) else json.dumps(value, indent=2)
        )
        .replace("\r\n", "\n")
        .replace("\n", "\r\n")
        for name, value in arguments.items()
    }
    assert edited(arguments, same) == arguments
    assert edited(arguments, {**same, "json.limit": "5", "text.note": "m\r\n"}) == {
        **arguments,
        "limit": 5,
        "note": "m\n",
    }
    assert edited(arguments, {"text.more": "x", "digest": "y"}) == arguments
    with pytest.raises(ValueError, match="limit is no JSON"):
        edited(arguments, {"json.limit": "five"})


def test_arguments_that_were_taken_away_are_shown() -> None:
    found = {one.name: one for one in arguments_of({"a": 1}, {"a": 1, "b": "gone"})}
    assert found["a"].changes == () and found["b"].changes == ("-gone",)
