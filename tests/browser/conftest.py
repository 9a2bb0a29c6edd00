"""The pages in Debian's Chromium, over the sample project."""

from __future__ import annotations

import gc
import random
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from pilothouse.web import Refusals
from tests.web.conftest import SampleProvider, make_app
from tests.web.sample import NOW_NS, SECOND, Scene, huge, scenes, support
from tests.web.sample_reader import SampleReader

# The shell draws the same pages without a window's own machinery, which costs more than the pages do.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium") or ""
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A busy machine is slow; a wrong page stays wrong.
expect.set_options(timeout=20_000)
LOADED_WITHIN_MS = 120_000

LONG = huge(NOW_NS - 3000 * SECOND, 50_000)
LONG_SESSION = "chat-long"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the browser."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM:
                item.add_marker(
                    pytest.mark.skip(reason="chromium is not installed: apt-get install chromium-headless-shell")
                )


def long_session() -> list[Scene]:
    """A conversation of 6,000 turns: more than 30,000 spans."""
    random_ = random.Random(3)
    start = NOW_NS - 20 * 86_400 * SECOND
    return [
        support(start + i * 200 * SECOND, random_, session=LONG_SESSION, user="u-patient", turn=i) for i in range(6000)
    ]


@dataclass
class Site:
    """A running server."""

    url: str
    provider: SampleProvider
    reader: SampleReader


def serve(provider: SampleProvider) -> Iterator[str]:
    """Serve the pages on a free port until the caller is done."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)  # who comes before the server has started waits
    # A page that follows a stream would hold the server up.
    config = uvicorn.Config(make_app(provider), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A project with a day's traffic, a trace of 50,000 spans and a session of 6,000 turns."""
    reader = SampleReader((*scenes(), LONG, *long_session()))
    reader.rows()  # made before a browser waits for them
    gc.collect()
    gc.freeze()  # it stays until the end
    provider = SampleProvider(reader, Refusals(posts=3, why="401 not_allowed", last="2026-11-20T14:00:00.000Z"))
    for url in serve(provider):
        yield Site(url, provider, reader)


@pytest.fixture(scope="session")
def empty_site() -> Iterator[Site]:
    """A project nothing was sent to."""
    reader = SampleReader(())
    provider = SampleProvider(reader)
    for url in serve(provider):
        yield Site(url, provider, reader)


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield launched
    launched.close()


@dataclass
class Watched:
    """A page, and what went wrong in it."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])
    largest: int = 0
    """The largest answer's body, in bytes."""


def watch(context: BrowserContext, allowed: tuple[str, ...] = ()) -> Watched:
    """Open a page and listen for errors; policy violations are console errors too."""
    context.set_default_timeout(LOADED_WITHIN_MS)
    watched = Watched(context.new_page())

    def complain(text: str) -> None:
        if not any(word in text for word in allowed):
            watched.complaints.append(text)

    watched.page.on("console", lambda m: complain(m.text) if m.type in ("error", "warning") else None)
    watched.page.on("pageerror", lambda e: complain(str(e)))
    return watched


@pytest.fixture
def view(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of 1280 by 900; the test fails where the page complained of anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=site.url)
    watched = watch(context)
    yield watched.page
    context.close()
    assert watched.complaints == []
