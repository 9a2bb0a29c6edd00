"""A browser on the real server: signing in, keys, and what happens when a sender's key is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live import LiveServer, running_server

from .conftest import watch


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(Path(tmp_path_factory.mktemp("browser"))) as running:
        yield running


@pytest.fixture
def signed_in(browser: Browser, server: LiveServer) -> Iterator[Page]:
    """A browser that used the link of ``pilothouse sign-in``."""
    command = [sys.executable, "-m", "pilothouse.cli", "sign-in", "--json"]
    answer = subprocess.run(command, env=server.environment, capture_output=True, check=True, text=True)
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
    watched = watch(context)
    link = next(word for word in json.loads(answer.stdout)["data"].values() if "/sign-in?" in str(word))
    watched.page.goto(link)
    yield watched.page
    context.close()
    assert watched.complaints == []


def send(server: LiveServer, key: str) -> int:
    """Post an empty export; gives the status."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(server.url + "/v1/traces", data=b'{"resourceSpans":[]}', headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_key_is_made_used_and_revoked(signed_in: Page, server: LiveServer) -> None:
    """The secret is shown once; a revoked key is refused, and every page says that something was."""
    signed_in.goto("/keys")
    signed_in.get_by_label("Name").fill("exporter <b>of</b> the shop")
    signed_in.get_by_role("button", name="Make a key").click()
    secret = signed_in.locator(".secret").inner_text()
    assert send(server, secret) == 200
    row = signed_in.locator("tbody tr").first
    expect(row).to_contain_text("exporter <b>of</b> the shop")
    row.get_by_role("button", name="Revoke").click()
    row.get_by_role("button", name="Really cut it off?").click()
    expect(row).to_contain_text("revoked")
    assert send(server, secret) == 401
    # Counts are kept every few seconds; the page that is open shows it at its next visit.
    banner = signed_in.get_by_role("alert").filter(has_text="refused in the last hour")
    for _ in range(60):
        signed_in.goto("/traces")
        if banner.count():
            break
        signed_in.wait_for_timeout(500)
    expect(banner).to_be_visible()
    signed_in.get_by_role("link", name="See the doctor").click()
    expect(signed_in.locator(".finding").first).to_contain_text("refused")


def test_real_traces_are_walked_by_keyboard(signed_in: Page) -> None:
    """From the list to a trace, through its views and steps."""
    signed_in.goto("/traces")
    signed_in.keyboard.press("j")
    with signed_in.expect_navigation():
        signed_in.keyboard.press("Enter")
    for key, view in (("2", "Waterfall"), ("3", "Agent graph"), ("4", "Logs"), ("5", "Raw"), ("1", "Transcript")):
        with signed_in.expect_navigation():
            signed_in.keyboard.press(key)
        expect(signed_in.locator(".tabs [aria-current]")).to_contain_text(view)
    signed_in.keyboard.press("]")
    expect(signed_in.locator(".pane-head")).to_be_visible()
    first = signed_in.locator(".pane-head").inner_text()
    signed_in.keyboard.press("]")
    expect(signed_in.locator(".pane-head")).not_to_have_text(first)


def test_signing_out(signed_in: Page) -> None:
    """The cookie is gone, here and on the server."""
    signed_in.goto("/")
    cookies = signed_in.context.cookies()
    signed_in.get_by_role("button", name="Sign out").click()
    expect(signed_in.locator("h1")).to_have_text("Sign in with a link")
    signed_in.context.add_cookies(cookies)  # pyright: ignore[reportArgumentType]
    signed_in.goto("/traces")
    expect(signed_in.locator("h1")).to_have_text("Sign in with a link")
