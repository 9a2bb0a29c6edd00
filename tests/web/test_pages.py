"""Every page renders, full and empty, as well-formed HTML that needs no script."""

from __future__ import annotations

from typing import Never

import pytest
from starlette.testclient import TestClient

from pilothouse.web import Refusals

from .conftest import ADDRESSES, FAILING, HUGE, RESEARCH, RUNNING, SampleProvider, client_of
from .markup import Markup
from .sample import QUESTIONS
from .sample_reader import SampleReader

EMPTY = ("/", "/traces", "/sessions", "/fleet", "/logs", "/sql", "/doctor")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_well_formed(full: TestClient, address: str) -> None:
    """No tag is left open, no attribute stands twice, no id is used twice."""
    answer = full.get(address)
    assert answer.status_code == 200
    page = Markup.read(answer.text)
    assert page.wrong == []
    assert page.open == []
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert len(page.named("h1")) == 1


@pytest.mark.parametrize("address", EMPTY)
def test_an_empty_page_teaches(empty: TestClient, address: str) -> None:
    """Where nothing was sent yet, the page says how, with this server's own address."""
    page = Markup.read(empty.get(address).text)
    assert page.wrong == []
    if address in ("/", "/traces", "/sessions", "/fleet"):
        assert 'OTEL_EXPORTER_OTLP_ENDPOINT="http://pilothouse.test:4318"' in page.text
        assert "OpenAIInstrumentor" in page.text
        assert "pydantic_ai" in page.text


def test_a_page_is_found_by_keyboard_and_by_name(full: TestClient) -> None:
    """Navigation marks the page one is on; the first link leads to the content."""
    page = Markup.read(full.get("/traces").text)
    current = [e.attributes["href"] for e in page.named("a") if e.attributes.get("aria-current") == "page"]
    assert current == ["/traces"]
    assert page.named("a")[0].attributes["href"] == "#content"


def test_without_script_the_transcript_is_there(full: TestClient) -> None:
    """Messages, tool arguments, results and errors stand in the page itself."""
    text = Markup.read(full.get(f"/traces/{RESEARCH}").text).text
    assert "Compare three vendors of carabiners" in text
    assert "Boreal is the best offer" in text
    assert "503 Service Unavailable" in text
    assert "web_search" in text


def test_each_message_is_shown_once(full: TestClient) -> None:
    """A system prompt that every call repeats stands in the transcript a single time."""
    page = Markup.read(full.get(f"/traces/{RESEARCH}").text)
    assert page.text.count("You are a careful researcher.") == 2  # its summary line and its text


def test_without_script_the_waterfall_is_a_table(full: TestClient) -> None:
    """A hundred rows with bars; each row leads to the page of its step."""
    page = Markup.read(full.get(f"/traces/{HUGE.trace_id}?view=waterfall").text)
    steps = [e.attributes["href"] for e in page.named("a") if "data-step" in e.attributes]
    links = [href for href in steps if "/spans/" in href]
    assert len(links) == 100
    assert links[0] == f"/traces/{HUGE.trace_id}/spans/1"


def test_the_same_step_number_everywhere(full: TestClient) -> None:
    """Transcript, waterfall, graph and raw view name a step by the number of the JSON."""
    steps = {r["step"] for r in full.get(f"/traces/{RESEARCH}/spans.json").json()["rows"]}
    for view in ("transcript", "waterfall", "graph", "raw"):
        page = Markup.read(full.get(f"/traces/{RESEARCH}?view={view}").text)
        shown = {int(e.attributes["data-step"]) for e in page.elements if e.attributes.get("data-step")}
        shown |= {
            int(e.attributes["hx-get"].split("/spans/")[1].split("?")[0])
            for e in page.elements
            if "/spans/" in e.attributes.get("hx-get", "")
        }
        assert shown
        assert shown <= steps


def test_a_step_tells_why_it_costs_what_it_costs(full: TestClient) -> None:
    """Buckets, prices, the rule and the numbers as reported."""
    text = Markup.read(full.get(f"/traces/{RESEARCH}/spans/2").text).text
    for word in ("input uncached", "reasoning", "prompt includes cache", "llm.token_count.prompt = 2468", "price book"):
        assert word in text


def test_an_error_is_first_in_its_step(full: TestClient) -> None:
    """What broke stands above the messages, with its stack."""
    text = Markup.read(full.get(f"/traces/{FAILING}/spans/2").text).text
    assert text.index("429 Too Many Requests") < text.index("You write digests")
    assert 'File "agent.py", line 88' in text


def test_a_wrong_filter_is_explained_in_place(full: TestClient) -> None:
    """The line stays as typed, with what is wrong, what is near and a command that works."""
    answer = full.get("/traces?q=agnet:support")
    page = Markup.read(answer.text)
    assert answer.status_code == 400
    assert "unknown field 'agnet'" in page.text
    assert "pilothouse ls status:error" in page.text
    assert (
        next(e for e in page.named("input") if e.attributes.get("id") == "filter").attributes["value"]
        == "agnet:support"
    )
    assert full.get("/traces.json?q=agnet:support").status_code == 400


def test_a_filter_that_fits_nothing_offers_ways_out(full: TestClient) -> None:
    """Not an empty table: the filters to drop and the windows to widen are links."""
    page = Markup.read(full.get("/traces?q=status:error+agent:support&window=1h").text)
    assert "Nothing fits" in page.text
    assert any("window=30d" in e.attributes["href"] for e in page.named("a"))


def test_facets_add_and_take_away_terms(full: TestClient) -> None:
    """A click on a value asks for it; the same click again drops it."""
    page = Markup.read(full.get("/traces?q=agent:support").text)
    hrefs = [e.attributes for e in page.named("a") if e.attributes.get("class") == "facet"]
    chosen = [a for a in hrefs if "aria-current" in a]
    assert len(chosen) == 1
    assert "q=" not in chosen[0]["href"]
    assert any("q=agent%3Asupport+status%3Aok" in a["href"] for a in hrefs)


def test_paging_keeps_the_window_still(full: TestClient) -> None:
    """The next page asks for the moments the first one covered, not for 'the last 24 hours' again."""
    page = Markup.read(full.get("/traces").text)
    onward = next(e.attributes["href"] for e in page.named("a") if e.attributes.get("rel") == "next")
    assert "since=2026-11-19T14" in onward and "window=" not in onward
    second = Markup.read(full.get(onward).text)
    first_ids = {e.attributes["id"] for e in page.named("tr") if "id" in e.attributes}
    second_ids = {e.attributes["id"] for e in second.named("tr") if "id" in e.attributes}
    assert len(second_ids) == 50
    assert not first_ids & second_ids


def test_only_what_ends_now_refreshes_itself(full: TestClient) -> None:
    """A list of the past, or its second page, is never polled; a running trace is."""
    live = "<live-region"
    assert live in full.get("/traces").text
    assert live not in full.get("/traces?since=2026-11-19T00:00:00Z&until=2026-11-20T00:00:00Z").text
    assert live not in full.get("/traces?sort=slowest").text
    assert live in full.get(f"/traces/{RUNNING}").text
    assert live not in full.get(f"/traces/{RESEARCH}").text


def test_a_poll_costs_nothing_where_nothing_changed(full: TestClient) -> None:
    """Parts carry an ETag; the same answer again is a 304 without a body."""
    answer = full.get("/traces?part=list")
    again = full.get("/traces?part=list", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_a_part_is_only_the_part(full: TestClient) -> None:
    """What a script swaps in brings no frame."""
    for address in ("/traces?part=list", f"/traces/{RESEARCH}/spans/3?part=pane", f"/traces/{RESEARCH}?part=breakdown"):
        page = Markup.read(full.get(address).text)
        assert page.wrong == []
        assert not page.named("html")
        assert page.text


def test_refused_writes_are_a_banner_on_every_page(sample: SampleReader) -> None:
    """Nobody can miss that what they send is not recorded."""
    refusals = Refusals(posts=11_803, why="401 the key is unknown", last="2026-11-20T14:03:00.000Z")
    with client_of(SampleProvider(sample, refusals)) as client:
        for address in ("/", "/traces", f"/traces/{RESEARCH}", "/sql"):
            text = Markup.read(client.get(address).text).text
            assert "11,803 writes refused in the last hour" in text
            assert "401 the key is unknown" in text


def test_a_session_shows_its_turns_as_a_dialogue(full: TestClient) -> None:
    """Question and answer of each turn, oldest first, each leading to its trace."""
    page = Markup.read(full.get("/sessions/chat-1").text)
    assert any(question in page.text for question in QUESTIONS)
    assert "I see order 4411" in page.text
    assert len([e for e in page.named("li") if "data-href" in e.attributes]) == 4


def test_a_session_id_may_hold_anything(full: TestClient) -> None:
    """Slashes, question marks, hashes, and an end that looks like a twin."""
    page = Markup.read(full.get("/sessions").text)
    address = next(e.attributes["href"] for e in page.named("a") if "%3Cx%3E" in e.attributes.get("href", ""))
    found = full.get(address)
    assert found.status_code == 200
    assert "s/../<x>?#.json" in Markup.read(found.text).text


def test_sql_shows_the_error_beside_the_statement(full: TestClient) -> None:
    """A refused statement keeps what was typed."""
    answer = full.get("/sql?query=DROP+TABLE+traces")
    page = Markup.read(answer.text)
    assert answer.status_code == 400
    assert "only SELECT statements are allowed" in page.text
    assert "DROP TABLE traces" in page.text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nowhere", 404),
        ("/traces/ffffffffffffffffffffffffffffffff", 404),
        (f"/traces/{RESEARCH}/spans/999", 404),
        (f"/traces/{RESEARCH}/spans/x", 400),
        (f"/traces/{RESEARCH}?view=sideways", 400),
        ("/traces?sort=upward", 400),
        ("/traces?limit=0", 400),
        ("/traces?limit=" + "9" * 5000, 400),
        ("/traces?window=forever", 400),
        ("/traces?since=yesterday", 400),
        ("/traces?since=2026-11-20T00:00:00Z&until=2026-11-19T00:00:00Z", 400),
        ("/sessions/none", 404),
    ],
)
def test_an_error_is_a_page_with_a_way_out(full: TestClient, address: str, status: int) -> None:
    """What happened, with which value, and where to go; the JSON twin has the one error shape."""
    answer = full.get(address)
    page = Markup.read(answer.text)
    assert answer.status_code == status
    assert page.wrong == []
    assert any(e.attributes.get("href") == "/traces" for e in page.named("a"))
    shaped = full.get(address, headers={"Accept": "application/json"}).json()
    assert shaped["ok"] is False
    assert shaped["error"]["kind"] in ("not_found", "bad_request")
    assert shaped["error"]["message"]


def test_a_defect_is_a_page_too() -> None:
    """Whatever breaks while a page is made: a 500 in the usual shape, with nothing of the inside in it."""

    class Broken(SampleReader):
        def fleet(self, since_ns: int, until_ns: int) -> Never:
            raise RuntimeError("secret inside")

    with client_of(SampleProvider(Broken(()))) as client:
        answer = client.get("/fleet")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Something broke here" in Markup.read(answer.text).text
        assert client.get("/fleet.json").json()["error"]["kind"] == "bug"
