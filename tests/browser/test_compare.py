"""Comparing two traces and looking into windows, in the browser, over real runs on a real server."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from playwright.sync_api import Browser, Page, expect

from tests.live_server import LiveServer, running_server
from tests.traces.recorded import ScriptedAgent, scripted_agent
from tests.traces.test_context_runs import READER, read_page

from .conftest import watch
from .test_every_page import STICKING_OUT

QUESTION = "On which of the six pages is the word sauna?"
ORDERS: dict[str, Any] = {
    "rules": [
        {"after_tool": "", "reply": {"calls": [{"name": "get_order", "arguments": {"id": 7}}]}},
        {"result": "lost", "reply": {"calls": [{"name": "ask_human", "arguments": {"why": "lost"}}]}},
        {"result": "delivered", "reply": {"calls": [{"name": "refund", "arguments": {"order": 7}}]}},
        {"result": ".", "reply": {"text": "Your money is on its way."}},
    ]
}
LONG: dict[str, Any] = {
    "rules": [
        {"after_tool": "", "reply": {"calls": [{"name": "read_page", "arguments": {"page": 1}}]}},
        *(
            {"result": f"page {n} of", "reply": {"calls": [{"name": "read_page", "arguments": {"page": n + 1}}]}}
            for n in range(1, 300)
        ),
        {"result": "page 300 of", "reply": {"text": "done"}},
    ]
}


@dataclass(frozen=True, kw_only=True)
class Runs:
    """A server and what ran on it, by name."""

    server: LiveServer
    ids: dict[str, str]


def ship(server: LiveServer, agent: ScriptedAgent) -> list[str]:
    """Send what an agent recorded; gives the ids of its traces."""
    spans = agent.finished()
    headers = {"content-type": "application/x-protobuf"}
    for first in range(0, len(spans), 200):
        status, answer = server.post(
            "/v1/traces", encode_spans(spans[first : first + 200]).SerializeToString(), headers, timeout=120
        )
        assert status == 200, answer
    roots = sorted((span for span in spans if span.parent is None), key=lambda span: span.start_time or 0)
    return [f"{span.context.trace_id:032x}" for span in roots]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A history that is trimmed, one of three hundred calls, and a run that went another way than the one before."""
    with running_server(tmp_path_factory.mktemp("compare") / "data") as server:
        ids: dict[str, str] = {}
        with scripted_agent(READER) as agent:
            agent.run(QUESTION, {"read_page": read_page}, system="You read.", trim=lambda messages: messages[-4:])
            (ids["trimmed"],) = ship(server, agent)
        with scripted_agent(LONG) as agent:
            long_page = {"read_page": lambda page: f"page {page} of 300: words"}
            agent.run(
                "Read all pages", long_page, system="You read.", trim=lambda messages: messages[:1] + messages[-40:]
            )
            (ids["long"],) = ship(server, agent)
        with scripted_agent(ORDERS) as agent:
            for status in ("delivered", "lost"):
                tools = {
                    "get_order": lambda id, s=status: json.dumps({"id": id, "status": s}),
                    "refund": lambda order: "done",
                    "ask_human": lambda why: "ok",
                }
                agent.run("Refund my order 7", tools, system=f"You refund. {status}", name="parcels")
                time.sleep(0.002)  # one after the other, in milliseconds too
            ids["good"], ids["other"] = ship(server, agent)
        server.wait_until_stored()
        yield Runs(server=server, ids=ids)


@pytest.fixture
def page(browser: Browser, runs: Runs) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        base_url=runs.server.url,
        extra_http_headers={"Authorization": f"Bearer {runs.server.key}"},
    )
    watched = watch(context)
    yield watched.page
    context.close()
    assert watched.complaints == []


def test_two_traces_are_picked_in_the_list(page: Page, runs: Runs) -> None:
    """Two boxes and a button; the older trace is a, whichever was ticked first. A third box takes the first one's place."""
    page.goto("/traces")
    bar = page.locator(".pick-bar")
    expect(bar).to_be_hidden()
    for name in ("trimmed", "other", "good"):
        page.locator(f'.pick[value="{runs.ids[name]}"]').check()
    expect(page.locator(f'.pick[value="{runs.ids["trimmed"]}"]')).not_to_be_checked()
    page.get_by_role("link", name="Compare these two").click()
    expect(page.locator(".cmp-who.a")).to_contain_text(runs.ids["good"][:12])
    expect(page.locator(".cmp-who.b")).to_contain_text(runs.ids["other"][:12])


def test_the_first_divergence_is_in_view_and_marked(page: Page, runs: Runs) -> None:
    page.goto(f"/compare?a={runs.ids['good']}&b={runs.ids['other']}")
    row = page.locator(".cmp-row.parting")
    expect(row).to_have_count(1)
    expect(row).to_be_in_viewport()
    expect(row).to_contain_text("first divergence")
    expect(row.locator(".cmp-cell.a")).to_contain_text("refund")
    expect(row.locator(".cmp-cell.b")).to_contain_text("ask_human")
    expect(page.locator(".cmp-parting")).to_contain_text("a calls refund, b calls ask_human")
    expect(page.locator("#detail")).to_contain_text("Where they part, in full")
    expect(page.locator("#detail del").nth(1)).to_contain_text("refund")


def test_n_and_p_go_from_difference_to_difference_and_a_row_opens(page: Page, runs: Runs) -> None:
    page.goto(f"/compare?a={runs.ids['good']}&b={runs.ids['other']}")
    page.keyboard.press("p")
    expect(page.locator(".cmp-row.at")).to_contain_text("result")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "step=3" in page.url
    expect(page.locator("#detail")).to_contain_text("Row 3 in full")
    expect(page.locator("#detail del").filter(has_text="delivered")).to_be_visible()
    page.locator("#row-4 .mark").click()
    expect(page.locator("#detail")).to_contain_text("Row 4 in full")


def test_equal_runs_are_folded_and_unfold(page: Page, runs: Runs) -> None:
    page.goto(f"/compare?a={runs.ids['long']}&b={runs.ids['long']}")
    expect(page.locator(".cmp-parting")).to_contain_text("No decision differs")
    run = page.locator(".cmp-run")
    expect(run).to_have_count(1)
    run.get_by_role("link").click()
    expect(page.locator("#row-1")).to_be_visible()
    assert page.locator("*").count() < 1_500


def test_a_trace_offers_what_to_compare_with(page: Page, runs: Runs) -> None:
    page.goto(f"/traces/{runs.ids['other']}")
    page.get_by_role("link", name="Compare with…").click()
    offer = page.locator(".cmp-offers li").first
    expect(offer).to_contain_text("good")
    offer.get_by_role("link").click()
    expect(page.locator(".cmp-row.parting")).to_have_count(1)
    assert f"a={runs.ids['good']}" in page.url and f"b={runs.ids['other']}" in page.url


def test_the_moment_the_question_falls_out_is_marked(page: Page, runs: Runs) -> None:
    page.goto(f"/traces/{runs.ids['trimmed']}")
    page.get_by_role("link", name=re.compile("^Context")).click()
    expect(page.locator(".ctx-lines .lost")).to_have_count(1)
    expect(page.locator(".ctx-calls")).to_contain_text("lost here")
    page.get_by_role("link", name=re.compile("question out of view from step 6 on")).click()
    step = page.locator("#call")
    expect(step).to_contain_text("Fell out since step 4")
    expect(step.locator("tr.gone").first).to_contain_text(QUESTION)
    expect(step.locator("tr.new")).to_have_count(2)


def test_three_hundred_calls_are_read_by_pointer_and_key(page: Page, runs: Runs) -> None:
    page.goto(f"/traces/{runs.ids['long']}/context")
    assert page.locator("*").count() < 1_500
    plot = page.locator(".ctx-plot")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    tip = page.locator("context-chart .tip")
    expect(tip).to_contain_text("tool output")
    expect(tip).to_contain_text("question in view")
    page.locator("context-chart").focus()
    page.keyboard.press("End")
    expect(tip).to_contain_text("step 602")
    page.keyboard.press("ArrowLeft")
    expect(tip).to_contain_text("step 600")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("#call")).to_contain_text("Step 600")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((390, "light"), (1280, "dark"), (1280, "light"))),
    ],
)
def test_both_pages_fit_their_window(browser: Browser, runs: Runs, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        color_scheme=scheme,  # pyright: ignore[reportArgumentType]
        base_url=runs.server.url,
        extra_http_headers={"Authorization": f"Bearer {runs.server.key}"},
    )
    watched = watch(context)
    ids = runs.ids
    for address in (
        f"/compare?a={ids['good']}&b={ids['other']}",
        f"/compare?a={ids['trimmed']}&b={ids['long']}",
        f"/compare?b={ids['other']}",
        "/compare",
        f"/traces/{ids['trimmed']}/context?step=6",
        f"/traces/{ids['long']}/context",
        "/traces",
    ):
        watched.page.goto(address, wait_until="load")
        assert watched.page.evaluate(STICKING_OUT) == [], (address, width)
    context.close()
    assert watched.complaints == []


def test_without_javascript_both_pages_say_everything(browser: Browser, runs: Runs) -> None:
    context = browser.new_context(
        java_script_enabled=False,
        base_url=runs.server.url,
        extra_http_headers={"Authorization": f"Bearer {runs.server.key}"},
    )
    page = context.new_page()
    page.goto(f"/compare?a={runs.ids['good']}&b={runs.ids['other']}")
    expect(page.locator(".cmp-row.parting")).to_have_count(1)
    page.goto(f"/traces/{runs.ids['trimmed']}/context")
    assert page.locator(".ctx-columns path").count() >= 4
    page.locator(".ctx-calls tbody a").nth(2).click()
    expect(page.locator("#call")).to_contain_text("out of view")
    page.goto("/traces")
    expect(page.locator(".pick").first).to_be_hidden()
    context.close()
