"""The page of the policy: its editor, what is wrong as one types, trying, putting in force, taking back."""

from __future__ import annotations

from starlette.testclient import TestClient

from .conftest import SampleProvider, client_of
from .markup import Markup
from .sample_policy import HOSTILE, TEXT
from .sample_reader import SampleReader

OURS = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}


def test_the_editor_holds_the_text_of_the_file(full: TestClient) -> None:
    page = Markup.read(full.get("/policy").text)
    assert " ".join(TEXT.split()) in " ".join(page.text.split())
    assert [e.attributes["value"] for e in page.named("input") if e.attributes.get("name") == "base"] == [
        "0a1b2c3d4e5f"
    ]


def test_where_there_is_none_an_example_is_offered_and_called_one(empty: TestClient) -> None:
    text = Markup.read(empty.get("/policy").text).text
    assert "This text is an example; nothing of it is in force" in text and "no policy" in text


def test_what_people_and_traces_wrote_is_no_markup(full: TestClient) -> None:
    for address in ("/policy?version=1", "/policy?draft=tried", "/policy?draft=wrong"):
        html = full.get(address).text
        assert "<script>alert" not in html and HOSTILE.split("<script>")[0] + "<" not in html
        assert Markup.read(html).wrong == []


def test_what_is_wrong_is_said_while_one_types(full: TestClient) -> None:
    answer = full.post("/policy/check", data={"text": "wrong"}, headers=OURS)
    assert answer.status_code == 200 and answer.text.lstrip().startswith('<div id="problems">')
    assert "line 2" in answer.text and "<!doctype" not in answer.text
    assert "Nothing is wrong with it" in full.post("/policy/check", data={"text": "guards:"}, headers=OURS).text


def test_a_form_tries_or_sets_and_goes_on(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        sent = {"text": TEXT, "base": "0a1b2c3d4e5f", "do": "try", "since": "7d", "note": ""}
        answer = client.post("/policy", data=sent, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/policy?draft=tried")
        assert provider.writer.forms == [sent]
        answer = client.post("/policy/versions/1/undo", headers=OURS)
        assert (answer.headers["location"], provider.writer.removed) == ("/policy?written=3", ["1"])


def test_another_site_changes_nothing(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        for path in ("/policy", "/policy/check", "/policy/versions/1/undo"):
            answer = client.post(path, data={"text": "x"}, headers={"origin": "http://evil.test"})
            assert answer.status_code == 403, path
    assert provider.writer.forms == [] and provider.writer.removed == []


def test_a_long_policy_fits_its_form(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        assert client.post("/policy", data={"text": "# é\n" * 100_000, "do": "check"}, headers=OURS).status_code == 303
        assert client.post("/policy", data={"text": "é" * 1_000_000}, headers=OURS).status_code == 413


def test_a_trial_says_how_far_it_is_and_what_it_found(full: TestClient) -> None:
    running = Markup.read(full.get("/policy?draft=running&part=trial").text)
    assert [e.attributes["value"] for e in running.named("progress")] == ["40"]
    tried = Markup.read(full.get("/policy?draft=tried").text)
    assert "newly on 1 text" in tried.text and "10 of 20 traces" in tried.text and "seed 7" in tried.text
    assert any(e.attributes.get("href", "").startswith("/traces/abab") for e in tried.named("a"))
    assert full.get("/policy?draft=gone").status_code == 404


def test_a_proposed_rule_is_switched_on_by_a_form_of_our_own(sample: SampleReader) -> None:
    provider = SampleProvider(sample)
    with client_of(provider) as client:
        page = Markup.read(client.get("/guards").text)
        assert "2 of 2" in page.text and "1 of 60" in page.text and "refund: 5 in 3,600 s" in page.text
        forms = {e.attributes["action"] for e in page.named("form") if "proposals" in e.attributes["action"]}
        assert forms == {f"/guards/proposals/prop_pending/{verb}" for verb in ("accept", "dismiss")}
        assert client.post("/guards/proposals/prop_pending/accept", headers=OURS).status_code == 303
        refused = client.post("/guards/proposals/prop_pending/accept", headers={"origin": "http://evil.test"})
        assert refused.status_code == 403
    assert provider.writer.decided == [("prop_pending", True)]
