"""The live page, and a trace that runs, in a browser on the real server; the agents are recorded by the recorder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live_server import LiveServer, running_server
from tests.watch.process import SECOND, Agent, Step

from .conftest import watch

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    """An agent in a process of its own, which does what it is told."""

    process: subprocess.Popen[str]
    trace_id: str = ""

    def do(self, order: str) -> Running:
        """Give an order; returns when it was taken."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        self.trace_id = self.process.stdout.readline().strip()
        return self


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(Path(tmp_path_factory.mktemp("live-page")) / "data") as running:
        yield running


@pytest.fixture
def start(server: LiveServer, tmp_path: Path) -> Iterator[Callable[[], Running]]:
    """Starts agents; what still runs in the end is killed."""
    processes: list[subprocess.Popen[str]] = []
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PILOTHOUSE_", "OTEL_"))}
    environment = {**clean, "PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key, "TMPDIR": str(tmp_path)}

    def begin() -> Running:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.watch.agents"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return Running(process)

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Page]:
    """A page that is let in by the key."""
    context = browser.new_context(
        base_url=server.url,
        viewport={"width": 1280, "height": 900},
        extra_http_headers={"Authorization": f"Bearer {server.key}"},
    )
    watched = watch(
        context, allowed=("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "ERR_NETWORK", "ERR_FAILED", "404")
    )
    yield watched.page
    context.close()
    assert watched.complaints == []


def send(server: LiveServer, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        path = "/v1/logs" if "resourceLogs" in body else "/v1/traces"
        status, answer = server.post(path, json.dumps(body).encode(), {"content-type": "application/json"})
        assert status == 200, answer


def row_of(page: Page, trace_id: str) -> Any:
    return page.locator(f'tr[data-id="{trace_id}"]')


def test_from_nothing_to_a_row_that_changes_and_an_orderly_end(page: Page, start: Callable[[], Running]) -> None:
    """A trace appears when it begins, says what it does, waits for a person, goes on, and ends."""
    page.goto("/live")
    expect(page.get_by_role("heading", name="Nothing runs now")).to_be_visible()
    expect(page.locator(".live-mark")).to_have_text("live")
    agent = start().do("open get_order")
    row = row_of(page, agent.trace_id)
    expect(row.locator(".live-state")).to_have_text("running")
    expect(row.locator('[data-f="doing"]')).to_have_text("get_order")
    expect(row.locator('[data-f="agent"]')).to_have_text("refunds")
    expect(row.locator('[data-f="sign"]')).to_have_text("alive")
    expect(page.locator(".live-empty")).to_be_hidden()
    agent.do("go").do("wait human")
    expect(row.locator(".live-state")).to_have_text("needs a person")
    expect(row.locator('[data-f="reason"]')).to_have_text("waits for a person: refund of $900")
    expect(page).to_have_title("(1) Live · Pilothouse")
    expect(page.locator('[data-count="waiting_human"] b')).to_have_text("1")
    agent.do("go").do("end")
    expect(row.locator(".live-state")).to_have_text("ended")
    expect(page).to_have_title("Live · Pilothouse")
    assert agent.process.wait(20) == 0


@pytest.mark.slow
def test_a_process_that_is_killed_has_died(page: Page, start: Callable[[], Running]) -> None:
    """kill -9: no goodbye, no more heartbeats. The page says so within some seconds, by itself."""
    agent = start().do("open get_order")
    page.goto("/live?state=running,died")
    row = row_of(page, agent.trace_id)
    expect(row.locator(".live-state")).to_have_text("running")
    agent.process.kill()
    expect(row.locator(".live-state")).to_have_text("died", timeout=60_000)
    expect(row.locator('[data-f="reason"]')).to_contain_text("no heartbeat for")
    expect(row).to_contain_class("needs")
    expect(page).to_have_title("(1) Live · Pilothouse")
    # A page made now says the same, without a script.
    page.goto("/live?state=died")
    expect(row_of(page, agent.trace_id).locator(".live-state")).to_have_text("died")


def test_nothing_moves_under_the_pointer_and_a_pause_holds(page: Page, server: LiveServer) -> None:
    agents = [Agent(name=f"shop-{n}", start_ns=time.time_ns() - (10 - n) * SECOND) for n in range(3)]
    for agent in agents:
        send(server, agent.spans(agent.begin("agent", agent.name)), agent.beat())
    page.goto("/live?q=agent%3Ashop*")
    expect(page.locator("tbody tr")).to_have_count(3)
    order = page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.dataset.id)")
    first = row_of(page, order[0])
    first.hover()
    last = next(agent for agent in agents if agent.trace_id == order[2])
    wait = last.begin("waiting", "approval", at_s=1, **{"pilothouse.wait.for": "human"})
    send(server, last.spans(wait), last.beat(wait_for="human"))
    # Its words change where it stands; its place waits until the pointer has left.
    expect(row_of(page, last.trace_id).locator(".live-state")).to_have_text("needs a person")
    expect(page.locator(".held")).to_have_text("1 change waits while you point here")
    assert page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.dataset.id)") == order
    page.mouse.move(5, 5)
    expect(page.locator("tbody tr").first).to_have_attribute("data-id", last.trace_id)
    expect(page.locator(".held")).to_have_text("")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".live-mark")).to_have_text("paused")
    other = agents[1]
    send(server, other.spans(other.end(other.steps[0], at_s=9)))
    page.wait_for_timeout(2500)
    expect(row_of(page, other.trace_id).locator(".live-state")).to_have_text("running")
    page.get_by_role("button", name="Go on").click()
    expect(row_of(page, other.trace_id).locator(".live-state")).to_have_text("ended")


def test_keys_walk_the_rows(page: Page, server: LiveServer) -> None:
    agent = Agent(name="walker", start_ns=time.time_ns() - 5 * SECOND)
    send(server, agent.spans(agent.begin("agent", "walker")), agent.beat())
    page.goto("/live?q=agent%3Awalker")
    expect(row_of(page, agent.trace_id)).to_be_visible()
    page.keyboard.press("j")
    expect(row_of(page, agent.trace_id)).to_have_attribute("aria-selected", "true")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("walker")
    page.keyboard.press("g")
    with page.expect_navigation():
        page.keyboard.press("l")
    expect(page.locator("h1")).to_have_text("Live")


def test_a_lost_connection_is_said_and_mended(page: Page, server: LiveServer) -> None:
    agent = Agent(name="patient", start_ns=time.time_ns() - 5 * SECOND)
    send(server, agent.spans(agent.begin("agent", "patient")), agent.beat())
    refused = {"on": False}
    page.route("**/api/v1/live/events**", lambda route: route.abort() if refused["on"] else route.continue_())
    page.goto("/live?q=agent%3Apatient")
    expect(page.locator(".live-mark")).to_have_text("live")
    refused["on"] = True
    # As when the server restarts: the stream ends, and cannot be had again for a while.
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".live-mark")).to_have_text("connection lost, trying again")
    send(server, agent.spans(agent.end(agent.steps[0], at_s=4)))
    refused["on"] = False
    expect(page.locator(".live-mark")).to_have_text("live", timeout=40_000)
    expect(row_of(page, agent.trace_id).locator(".live-state")).to_have_text("ended")


def test_without_scripts_it_is_a_page(browser: Browser, server: LiveServer, start: Callable[[], Running]) -> None:
    agent = start().do("open get_order")
    context = browser.new_context(
        base_url=server.url,
        java_script_enabled=False,
        extra_http_headers={"Authorization": f"Bearer {server.key}"},
    )
    with contextlib.closing(context):
        page = context.new_page()
        deadline = time.monotonic() + 30
        while page.goto("/live") and not row_of(page, agent.trace_id).count():
            assert time.monotonic() < deadline
        expect(row_of(page, agent.trace_id).locator(".live-state")).to_have_text("running")
        expect(page.locator(".live-mark")).to_have_text("not live: this page needs scripts to follow")


def test_a_running_trace_grows_before_the_readers_eyes(page: Page, start: Callable[[], Running]) -> None:
    agent = start().do("tool first_call")
    wait_for_page(page, f"/traces/{agent.trace_id}?view=transcript&follow=1", ".turn")
    expect(page.locator(".live-mark")).to_have_text("live")
    for number in range(3):
        agent.do(f"tool call_{number}")
        expect(page.locator("ol.transcript .turn").last).to_contain_text(f"call_{number}")
    # More than a page of steps: following goes on to the page where they are.
    for number in range(60):
        agent.do(f"tool more_{number}")
    expect(page.locator("ol.transcript .turn").last).to_contain_text("more_59")
    expect(page.locator("ol.transcript .turn").last).to_be_in_viewport()
    agent.do("end")
    expect(page.locator(".live-mark")).to_have_text("ended: ok")


def wait_for_page(page: Page, address: str, shown: str) -> None:
    """Open a page until it shows something: its trace may still be on its way."""
    deadline = time.monotonic() + 30
    while page.goto(address) and not page.locator(shown).count():
        assert time.monotonic() < deadline, address


@pytest.mark.slow
def test_a_waterfall_of_20000_spans_follows_what_arrives(page: Page, server: LiveServer) -> None:
    """It opens, scrolls to its end, finds a step, stays small, and a span that arrives is brought into sight."""
    agent = Agent(name="long", start_ns=time.time_ns() - 30_000 * SECOND)
    root = agent.begin("agent", "long")
    done: list[Step] = []
    for number in range(19_999):
        step = agent.begin("tool", f"call {number}", at_s=1 + number)
        step.parent = root.span_id
        done.append(agent.end(step, at_s=1.9 + number))
    send(server, agent.spans(root))
    for first in range(0, len(done), 5_000):
        send(server, agent.spans(*done[first : first + 5_000]))
    send(server, agent.beat())
    server.wait_for(f"SELECT spans FROM traces WHERE trace_id = '{agent.trace_id}'", [[20_000]])
    page.goto(f"/traces/{agent.trace_id}?view=waterfall&follow=1")
    expect(page.locator(".wf-bar .end")).to_have_text("20,000 steps")
    expect(page.locator(".live-mark")).to_have_text("live")
    page.locator(".wf-scroll").evaluate("e => e.scrollTop = e.scrollHeight")
    expect(page.locator(".wf-row:not([hidden]) .no").filter(has_text="20000")).to_have_count(1)
    page.locator(".wf-scroll").evaluate("e => e.scrollTop = 0")
    page.get_by_role("searchbox").fill("call 12345")
    expect(page.locator(".wf-bar .end")).to_have_text("1 of 20,000 steps")
    page.get_by_role("searchbox").fill("")
    expect(page.locator(".wf-bar .end")).to_have_text("20,000 steps")
    assert page.evaluate("document.querySelectorAll('*').length") < 1_500

    arrived = agent.begin("tool", "the one that arrived", at_s=20_001)
    send(server, agent.spans(arrived))
    expect(page.locator(".wf-bar .end")).to_have_text("20,001 steps")
    expect(page.locator(".wf-row:not([hidden])").filter(has_text="the one that arrived")).to_be_in_viewport()
    assert page.evaluate("document.querySelectorAll('*').length") < 1_500


def test_the_list_of_traces_shows_what_arrives(page: Page, server: LiveServer) -> None:
    page.goto("/traces")
    agent = Agent(name="fresh", start_ns=time.time_ns() - SECOND)
    send(server, agent.spans(agent.begin("agent", "fresh")), agent.beat())
    expect(page.locator(f"#t-{agent.trace_id}")).to_contain_text("fresh")


def test_the_list_of_traces_shows_the_first_one(browser: Browser, tmp_path: Path) -> None:
    """Nothing but what a stranger needs to begin with: then the answer to it."""
    with running_server(tmp_path / "data") as empty:
        context = browser.new_context(base_url=empty.url, extra_http_headers={"Authorization": f"Bearer {empty.key}"})
        with contextlib.closing(context):
            page = context.new_page()
            page.goto("/live")
            expect(page.locator(".setup").first).to_contain_text("pilothouse.init()")
            agent = Agent()
            send(empty, agent.spans(agent.begin("agent", "refunds")), agent.beat())
            expect(row_of(page, agent.trace_id).locator(".live-state")).to_have_text("running")
