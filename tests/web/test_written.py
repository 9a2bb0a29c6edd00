"""Notes, scores and labels on pages: listed, added and removed without a script, and by nobody else's page."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from pilothouse.web.site import FORM_BYTES_MAX

from .conftest import RESEARCH, SampleProvider, client_of
from .sample_reader import SampleReader

OWN = {"origin": "http://testserver"}


@pytest.fixture
def provider(sample: SampleReader) -> SampleProvider:
    return SampleProvider(sample)


@pytest.fixture
def site(provider: SampleProvider) -> Iterator[TestClient]:
    with client_of(provider) as client:
        yield client


@pytest.fixture(scope="module")
def trace() -> str:
    return RESEARCH


def test_a_trace_a_step_and_a_session_list_what_was_written(site: TestClient, trace: str) -> None:
    row = site.get(f"/traces/{trace}.json").json()
    session = site.get("/sessions.json?window=30d").json()["sessions"]["items"][0]["session_id"]
    for address in (f"/traces/{trace}", f"/traces/{trace}/spans/1", f"/sessions/{quote(session, safe='')}"):
        page = site.get(address).text
        for words in ("helpful", "wrong-tool", "Asked twice.", "judge 2", "&lt;script&gt;alert(1)"):
            assert words in page, (address, words)
        assert "<script>alert" not in page
        assert 'action="/annotations"' in page and "/remove" in page
    assert {one["kind"] for one in row["written"]} == {"note", "score", "label"}
    # What came with the telemetry cannot be removed here.
    assert site.get(f"/traces/{trace}").text.count("/remove") == 1


def test_a_form_writes_and_goes_back_to_where_it_stood(site: TestClient, provider: SampleProvider, trace: str) -> None:
    form = {"kind": "note", "id": trace, "step": "3", "text": "ä & b", "back": f"/traces/{trace}?step=3"}
    answer = site.post("/annotations", data=form, headers=OWN, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/traces/{trace}?step=3")
    assert provider.writer.forms == [form]
    # What a browser sends along with a form of a page that sends no referrer.
    headers = {"origin": "null", "sec-fetch-site": "same-origin"}
    assert site.post("/annotations", data=form, headers=headers).status_code == 303
    gone = site.post("/annotations/note_1/remove", data={"back": "/traces"}, headers=OWN, follow_redirects=False)
    assert gone.status_code == 303 and provider.writer.removed == ["note_1"]


def test_a_form_never_leads_to_another_site(site: TestClient, trace: str) -> None:
    for back in ("https://evil.test/", "//evil.test", "\\\\evil.test", ""):
        form = {"kind": "note", "id": trace, "text": "x", "back": back}
        answer = site.post("/annotations", data=form, headers=OWN, follow_redirects=False)
        assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}, {}],
    ids=["another origin", "cross-site", "a sandbox", "no word of it"],
)
def test_another_sites_page_cannot_write(
    site: TestClient, provider: SampleProvider, trace: str, headers: dict[str, str]
) -> None:
    answer = site.post("/annotations", data={"kind": "note", "id": trace, "text": "x"}, headers=headers)
    assert answer.status_code == 403 and provider.writer.forms == []


def test_what_is_refused_is_a_page_that_says_why(site: TestClient, trace: str) -> None:
    answer = site.post("/annotations", data={"kind": "note", "id": trace, "text": "refuse me"}, headers=OWN)
    assert answer.status_code == 400 and "this is refused" in answer.text
    large = site.post("/annotations", content=b"text=" + b"x" * (FORM_BYTES_MAX + 1), headers=OWN)
    assert large.status_code == 413


def test_who_is_not_signed_in_is_asked_to(site: TestClient, provider: SampleProvider, trace: str) -> None:
    provider.signed_in = False
    answer = site.post("/annotations", data={"kind": "note", "id": trace}, headers=OWN, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
