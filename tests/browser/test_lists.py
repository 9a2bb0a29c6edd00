"""Lists, charts and everything that is the same on every page."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import SampleProvider
from tests.web.sample import NOW_NS, SECOND, failing
from tests.web.sample_reader import SampleReader

from .conftest import LONG_SESSION, Site, serve, watch


def test_keys_walk_a_list_and_open(view: Page) -> None:
    """j, k, Enter; a click anywhere on a row does the same."""
    view.goto("/traces")
    for key in "jjk":
        view.keyboard.press(key)
    chosen = view.locator('tr[aria-selected="true"]')
    expect(chosen).to_have_count(1)
    wanted = chosen.get_attribute("data-href")
    view.keyboard.press("Enter")
    expect(view).to_have_url(re.compile(str(wanted)))
    view.go_back()
    view.locator("tbody tr").nth(4).locator("td").last.click()
    expect(view).to_have_url(re.compile(r"/traces/[0-9a-f]{32}"))


def test_slash_types_into_the_filter(view: Page) -> None:
    """/ focuses, typing is not taken for keys, Enter filters."""
    view.goto("/traces")
    view.keyboard.press("/")
    view.keyboard.type("agent:triage")
    view.keyboard.press("Enter")
    expect(view).to_have_url(re.compile("q=agent%3Atriage"))
    expect(view.locator("tbody tr").first).to_contain_text("triage")


def test_question_mark_shows_the_keys(view: Page) -> None:
    """A table of keys, closed by Esc; g and a letter go to a page."""
    view.goto("/")
    view.keyboard.press("?")
    expect(view.get_by_role("dialog")).to_contain_text("to the filter line")
    view.keyboard.press("Escape")
    expect(view.get_by_role("dialog")).to_be_hidden()
    view.keyboard.press("g")
    view.keyboard.press("f")
    expect(view.locator("h1")).to_have_text("Fleet")


def test_a_box_on_the_heatmap_narrows_the_list(view: Page) -> None:
    """Dragging gives a window and bounds of the duration."""
    view.goto("/traces")
    box = view.locator(".heat").bounding_box()
    assert box
    view.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    view.mouse.down()
    view.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.8, steps=5)
    view.mouse.up()
    expect(view).to_have_url(re.compile(r"duration_ms%3A%3E%3D.*since=.*until=|since=.*until=.*duration_ms"))
    expect(view.locator(".terms .chip").first).to_contain_text("duration_ms")


def test_the_heatmap_tells_what_a_cell_holds(view: Page) -> None:
    """Moment, durations, how many, how many failed."""
    view.goto("/traces")
    heat = view.locator(".heat")
    box = heat.bounding_box()
    assert box
    cells = heat.evaluate("e => JSON.parse(e.closest('heat-map').dataset.heat)")
    column, row, count, _ = cells["cells"][0]
    rows = len(cells["edges"]) - 1
    view.mouse.move(
        box["x"] + (column + 0.5) / cells["times"][2] * box["width"],
        box["y"] + (1 - (row + 0.5) / rows) * box["height"],
    )
    expect(view.locator(".tip")).to_contain_text(f"{count} trace")


def test_charts_are_drawn_and_zoom(view: Page) -> None:
    """Four charts; dragging over one narrows the page's window."""
    view.goto("/")
    expect(view.locator("time-chart canvas")).to_have_count(4)
    box = view.locator("time-chart .u-over").first.bounding_box()
    assert box
    view.mouse.move(box["x"] + 100, box["y"] + 50)
    view.mouse.down()
    view.mouse.move(box["x"] + 300, box["y"] + 60, steps=5)
    view.mouse.up()
    expect(view).to_have_url(re.compile("since=.*until="))
    expect(view.locator(".segments [aria-current]")).to_contain_text("–")


def test_a_point_of_a_chart_opens_its_traces(view: Page) -> None:
    """A click on a moment lists that moment's traces, slowest first."""
    view.goto("/")
    view.locator("time-chart .u-over").first.click(position={"x": 200, "y": 60})
    expect(view).to_have_url(re.compile(r"/traces\?.*sort=slowest.*since="))


def test_light_and_dark(view: Page) -> None:
    """The button turns the page and the next page stays turned; charts follow."""
    view.goto("/")
    before = view.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    view.get_by_role("button", name="Light or dark").click()
    after = view.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert before != after
    view.goto("/traces")
    assert view.evaluate("getComputedStyle(document.documentElement).backgroundColor") == after


def test_copying_a_command(view: Page, browser: Browser, site: Site) -> None:
    """The button copies the command line that gives the same list."""
    context = browser.new_context(base_url=site.url, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/traces?q=status:error")
    page.get_by_role("button", name="Copy the command").click()
    assert page.evaluate("navigator.clipboard.readText()") == "pilothouse ls status:error --since 24h"
    context.close()


def test_a_new_trace_appears_by_itself(browser: Browser) -> None:
    """The list that ends now grows while one looks, and the selection stays on its trace."""
    reader = SampleReader(tuple(failing(NOW_NS - i * 60 * SECOND) for i in range(1, 4)))
    for url in serve(SampleProvider(reader)):
        context = browser.new_context(base_url=url)
        watched = watch(context)
        watched.page.goto("/traces")
        watched.page.keyboard.press("j")
        chosen = watched.page.locator('tr[aria-selected="true"]').get_attribute("id")
        scene = failing(NOW_NS - SECOND)
        reader.by_id[scene.trace_id] = scene
        expect(watched.page.locator("tbody tr")).to_have_count(4, timeout=15_000)
        assert watched.page.locator('tr[aria-selected="true"]').get_attribute("id") == chosen
        context.close()
        assert watched.complaints == []


def test_the_first_trace_is_noticed(browser: Browser) -> None:
    """The page that tells how to send a trace tells when one has come."""
    reader = SampleReader(())
    for url in serve(SampleProvider(reader)):
        context = browser.new_context(base_url=url)
        watched = watch(context)
        watched.page.goto("/")
        expect(watched.page.locator("main")).to_contain_text("Waiting for the first trace")
        scene = failing(NOW_NS - SECOND)
        reader.by_id[scene.trace_id] = scene
        watched.page.get_by_role("link", name="Look at it").click(timeout=15_000)
        expect(watched.page.locator(".tiles")).to_contain_text("Traces")
        context.close()
        assert watched.complaints == []


def test_a_session_of_thirty_thousand_spans_opens(view: Page) -> None:
    """Forty turns a page, few elements, and the way on."""
    view.goto(f"/sessions/{LONG_SESSION}")
    expect(view.locator(".turn-card")).to_have_count(40)
    assert view.evaluate("document.querySelectorAll('*').length") < 1500
    view.get_by_role("link", name="Next turns").click()
    expect(view.locator(".turn-no").first).to_have_text("41")
    view.keyboard.press("j")
    view.keyboard.press("Enter")
    expect(view).to_have_url(re.compile(r"/traces/[0-9a-f]{32}"))


def test_sql_runs_by_key_and_takes_columns_by_click(view: Page) -> None:
    """A column's name goes to the cursor; Ctrl+Enter runs."""
    view.goto("/sql")
    view.locator("textarea").fill("SELECT  FROM traces")
    view.locator("textarea").evaluate("e => e.setSelectionRange(7, 7)")
    view.get_by_role("button", name="root_name").first.click()
    expect(view.locator("textarea")).to_have_value("SELECT root_name FROM traces")
    view.keyboard.press("Control+Enter")
    expect(view.locator(".result tbody tr")).to_have_count(200)
