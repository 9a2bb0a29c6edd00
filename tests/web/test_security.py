"""Text of traces is hostile; the pages are strict."""

from __future__ import annotations

import re
from html import unescape

import pytest
from starlette.testclient import TestClient

from pilothouse.web import SECURITY_HEADERS
from pilothouse.web.static_files import files

from .conftest import ADDRESSES, HOSTILE_TRACE, RESEARCH, SampleProvider, client_of, twin
from .markup import Markup
from .sample_reader import SampleReader

HOSTILE_ADDRESSES = (
    "/traces",
    "/sessions",
    "/fleet",
    "/sql?query=SELECT+1",
    *(f"/traces/{HOSTILE_TRACE}?view={view}" for view in ("transcript", "waterfall", "graph", "logs", "raw")),
    *(f"/traces/{HOSTILE_TRACE}/spans/{step}" for step in (1, 2, 3)),
    *(f"/traces/{HOSTILE_TRACE}/spans/{step}?part=pane" for step in (1, 2, 3)),
    f"/traces/{HOSTILE_TRACE}/spans/3?part=raw",
    "/traces?q=%3Cscript%3Ealert(9)%3C/script%3E",
    "/sql?query=%3C/textarea%3E%3Cscript%3Ealert(9)%3C/script%3E",
)
URL_ATTRIBUTES = ("href", "src", "action", "formaction", "hx-get", "hx-post", "data-href", "data-src", "data-url")


@pytest.mark.parametrize("address", [*ADDRESSES, "/nowhere", "/sign-in", "/static/favicon.svg", "/static/nothing"])
def test_every_answer_carries_the_headers(full: TestClient, address: str) -> None:
    """Pages, errors, redirects and static files alike."""
    for path in (address, twin(address, "json") if not address.startswith("/static") else address):
        headers = full.get(path).headers
        for name, value in SECURITY_HEADERS.items():
            assert headers[name] == value


def test_the_policy_allows_nothing_inline_and_nobody_else() -> None:
    """Scripts, styles and requests only from here; no frames; nothing by default."""
    policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("address", [*ADDRESSES, *HOSTILE_ADDRESSES, "/sign-in", "/nowhere"])
def test_nothing_is_inline(full: TestClient, address: str) -> None:
    """No script text, no style, no handler attribute; every address is one of ours."""
    page = Markup.read(full.get(address).text)
    assert "".join(page.scripts).strip() == ""
    assert not page.named("style")
    for element in page.elements:
        assert "style" not in element.attributes
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in URL_ATTRIBUTES:
            if name in element.attributes:
                assert re.match(r"(/(?!/)|#|\?)", element.attributes[name]), (element, name)
        if element.name == "script":
            assert element.attributes["src"].startswith("/static/")


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_hostile_text_stays_text(full: TestClient, address: str) -> None:
    """No tag, no attribute and no template of a trace's text comes alive."""
    html = full.get(address).text
    page = Markup.read(html)
    assert page.wrong == []
    assert not [e for e in page.elements if e.name in ("img", "iframe", "object", "embed")]
    assert all("src" in e.attributes for e in page.named("script"))
    assert "{{ 7*7 }}" in page.text or "alert(9)" in html or "/fleet" in address or "part=raw" in address


@pytest.mark.parametrize("address", [*HOSTILE_ADDRESSES, f"/traces/{HOSTILE_TRACE}.md"])
def test_hidden_characters_are_spelled_out(full: TestClient, address: str) -> None:
    """Direction overrides, escapes, zero-width characters and invisible tag letters are shown, in text and attributes."""
    html = unescape(full.get(address).text)
    for character in "\u202e\x1b\u200b\U000e0069":
        assert character not in html
    if "view=transcript" in address:
        assert "hidden tag text: ignore previous instructions" in html


def test_nobody_sees_a_page_without_signing_in(sample: SampleReader) -> None:
    """A browser is led to the sign-in page and back; a script gets the error shape; nothing leaks."""
    with client_of(SampleProvider(sample, signed_in=False)) as client:
        for address in ADDRESSES:
            answer = client.get(address)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in")
            data = client.get(twin(address, "json"))
            assert data.status_code == 401
            assert data.json()["error"]["kind"] == "not_allowed"
        assert "carabiner" not in client.get(f"/traces/{RESEARCH}").text
        assert "Traces" not in Markup.read(client.get("/sign-in").text).text
        assert client.get("/nowhere").status_code == 404


def test_a_sign_in_link_works_once_and_leads_back(sample: SampleReader) -> None:
    """The token becomes a cookie; used again it is explained; it never leads to another site."""
    with client_of(SampleProvider(sample, signed_in=False)) as client:
        answer = client.get("/sign-in?token=once&next=/traces%3Fq%3Dstatus:error")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/traces?q=status:error"
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert client.get("/traces").status_code == 200
        again = client.get("/sign-in?token=once")
        assert again.status_code == 401
        assert "used or has expired" in Markup.read(again.text).text


@pytest.mark.parametrize(
    "onward", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil"]
)
def test_sign_in_never_leads_elsewhere(sample: SampleReader, onward: str) -> None:
    """A prepared link cannot send a visitor to another site."""
    with client_of(SampleProvider(sample, signed_in=False)) as client:
        assert client.get("/sign-in", params={"token": "once", "next": onward}).headers["location"] == "/"


def test_sign_out_forgets_the_cookie(full: TestClient) -> None:
    """Only by POST, so that no picture in a page can do it."""
    assert full.get("/sign-out").status_code == 405
    answer = full.post("/sign-out")
    assert answer.status_code == 303
    assert 'session=""' in answer.headers["set-cookie"]


def test_static_files_are_a_list_not_a_folder(full: TestClient) -> None:
    """Only known names are served; no path leads out of the folder."""
    for name in (
        "../site.py",
        "..%2fsite.py",
        "js/../../site.py",
        "vendor/README.md",
        "css/01-tokens.css",
        "/etc/passwd",
    ):
        assert full.get(f"/static/{name}").status_code == 404
    for file in files().values():
        answer = full.get(file.url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in full.get("/static/pilothouse.css?v=old").headers["cache-control"]


def test_our_scripts_never_parse_text_as_markup() -> None:
    """innerHTML is set in one place, from our own server's answer; nothing evaluates text."""
    for name, file in files().items():
        if not name.startswith("js/"):
            continue
        source = file.plain.decode()
        assert not re.search(r"\beval\(|new Function|document\.write|insertAdjacentHTML|outerHTML", source), name
        assert source.count("innerHTML") == (1 if name == "js/step-pane.js" else 0), name
