"""The system map and the agent graph in a browser, over a real store with sixty components and three hundred prompts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pilothouse.records import iso
from pilothouse.server.page_reader import PageReader
from pilothouse.store import open_store
from tests.fleets import fleet, store_all
from tests.traces.support import NOW_NS, PROJECT, trace_id
from tests.web.conftest import SampleProvider

from .conftest import serve, watch
from .test_every_page import STICKING_OUT

TRACE = trace_id(5)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of pages over the fleet."""
    store = open_store("", Path(tmp_path_factory.mktemp("fleet")))
    store.migrate()
    store_all(store, fleet().traces)
    try:
        yield from serve(SampleProvider(PageReader(store, PROJECT, lambda since_ns: ())))
    finally:
        store.close()


def window() -> str:
    """The fleet's own day: the clock of these pages stands still at the sample's moment."""
    return f"since={iso(NOW_NS - 86_400_000_000_000)}&until={iso(NOW_NS + 60_000_000_000)}"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address)
    watched = watch(context)
    yield watched.page
    context.close()
    assert watched.complaints == []


WORDS_FIT = """() => [...document.querySelectorAll("svg.graph a")].filter((box) => {
  const room = box.querySelector("rect.box").getBoundingClientRect();
  return [...box.querySelectorAll("text")].some((text) => text.getBoundingClientRect().right > room.right + 0.5);
}).map((box) => box.textContent)"""

LEGIBLE = """() => Math.min(...[...document.querySelectorAll("svg.graph text.sub")].map(
  (text) => parseFloat(getComputedStyle(text).fontSize) * text.getCTM().a))"""


@pytest.mark.parametrize("by", ["agents", "services", "everything"])
def test_sixty_components_are_legible(page: Page, by: str) -> None:
    """At 1280 pixels: every word lies in its box, and no word is smaller than eight and a half pixels."""
    page.goto(f"/map?{window()}&by={by}")
    page.wait_for_selector("pan-zoom.ready")
    assert page.evaluate(WORDS_FIT) == []
    assert page.evaluate(LEGIBLE) >= 8.5
    assert page.evaluate(STICKING_OUT) == []
    assert page.get_by_text("300 prompts of 16 agents").is_visible()


def test_what_an_agent_alone_uses_is_folded_and_opens(page: Page) -> None:
    page.goto(f"/map?{window()}")
    boxes = page.locator("svg.graph a")
    assert boxes.count() < 30
    box = page.locator('a[data-id="agent:letter writer"]')
    expect(box).to_contain_text("19 prompts")
    box.click()
    expect(page.locator("h1")).to_have_text("letter writer")
    expect(page.locator('a[data-id="tool:mcp__calendar__book_slot"]')).to_be_visible()
    assert page.get_by_role("table").filter(has_text="You are the letter writer.").locator("tbody tr").count() == 19


def test_the_slider_hides_weak_lines_at_once_and_leaves_nothing_alone(page: Page) -> None:
    page.goto(f"/map?{window()}&by=everything")
    slider = page.get_by_label("Hide weak lines")
    slider.fill("0")
    all_lines = page.locator("path.edge:not(.weak)").count()
    slider.fill("10")
    few = page.locator("path.edge:not(.weak)").count()
    assert few < all_lines
    reached = page.evaluate(
        "() => new Set([...document.querySelectorAll('path.edge:not(.weak)')].map((p) => p.dataset.to)).size"
    )
    every = page.evaluate("() => new Set([...document.querySelectorAll('path.edge')].map((p) => p.dataset.to)).size")
    assert reached == every
    expect(page.locator("[data-hidden]")).to_contain_text("hidden")


def test_the_search_box_finds_what_is_folded(page: Page) -> None:
    page.goto(f"/map?{window()}")
    page.get_by_label("Find a component").fill("mcp__calendar")
    assert page.locator("svg.graph a:not(.faded)").get_attribute("data-id") == "agent:letter writer"
    page.get_by_label("Find a component").press("Enter")
    expect(page.locator("h1")).to_have_text("mcp__calendar__book_slot")
    page.get_by_label("Find a component").fill("send_notification")
    page.get_by_label("Find a component").press("Enter")
    expect(page.locator("h1")).to_have_text("send_notification")


def test_the_map_is_moved_and_scaled(page: Page) -> None:
    page.goto(f"/map?{window()}")
    svg = page.locator("svg.graph")
    page.wait_for_selector("pan-zoom.ready")
    before = svg.get_attribute("viewBox")
    page.get_by_role("button", name="Closer").click()
    closer = svg.get_attribute("viewBox")
    assert before and closer and float(closer.split()[2]) < float(before.split()[2])
    place = svg.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 60, place["y"] + place["height"] - 60)
    page.mouse.down()
    page.mouse.move(place["x"] + 160, place["y"] + place["height"] - 90, steps=4)
    page.mouse.up()
    assert svg.get_attribute("viewBox") != closer
    assert "/map?" in page.url and "focus" not in page.url, "a drag is no click"


def test_on_a_phone_the_map_is_a_list(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=address)
    watched = watch(context)
    page = watched.page
    page.goto(f"/map?{window()}")
    assert not page.locator("svg.graph").is_visible()
    assert page.locator(".map-list tbody tr").count() == 60
    assert page.evaluate(STICKING_OUT) == []
    page.get_by_label("Find a component").fill("letter")
    assert page.locator(".map-list tbody tr:visible").count() == 1
    page.locator(".map-list tbody tr:visible a").first.click()
    expect(page.locator("h1")).to_have_text("letter writer")
    page.goto(f"/agents/letter%20writer?{window()}")
    assert page.evaluate(STICKING_OUT) == []
    context.close()
    assert watched.complaints == []


def test_the_map_works_without_scripts(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/map?{window()}")
    page.locator('a[data-id="agent:refund judge"]').click()
    assert page.locator("h1").inner_text() == "refund judge"
    page.get_by_label("Find a component").fill("write mail")
    page.get_by_role("button", name="Show").click()
    assert page.locator("h1").inner_text() == "write_mail"
    page.get_by_role("link", name="list", exact=True).click()
    assert page.locator(".map-list").is_visible()
    context.close()


def test_the_page_of_an_agent_shows_audit_level_and_map(page: Page) -> None:
    page.goto(f"/agents/mail%20sender?{window()}")
    expect(page.locator("h1")).to_have_text("mail sender")
    row = page.get_by_role("row").filter(has_text="Are raw results of tools recorded?")
    expect(row).to_contain_text("is not recorded")
    row.get_by_text("what to do").click()
    expect(row).to_contain_text("@pilothouse.tool")
    expect(page.get_by_role("heading", name="Level 3: autonomous")).to_be_visible()
    page.locator('a[data-id="agent:refund manager"]').click()
    expect(page.locator("h1")).to_have_text("refund manager")


def test_the_graph_of_a_trace_names_roles_and_opens_steps(page: Page) -> None:
    page.goto(f"/traces/{TRACE}?view=graph")
    manager = page.locator('a[data-id^="agent:"]').filter(has_text="manager ·")
    expect(manager).to_have_count(1)
    assert "inferred" in (manager.locator("title").text_content() or "")
    assert page.evaluate(WORDS_FIT) == []
    manager.click()
    expect(page.locator(".pane-head")).to_be_visible()
