"""One trace: views, the pane of a step, keys, hostile text."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from pilothouse.traces import meanings
from tests.web.conftest import HOSTILE_TRACE, RESEARCH, RUNNING

from .conftest import LONG, Site


def test_numbers_switch_views_and_keep_the_step(view: Page) -> None:
    """1 to 5, and the step that was open stays open."""
    view.goto(f"/traces/{RESEARCH}")
    view.locator(".turn .no").nth(3).click()
    expect(view.locator(".pane-head")).to_contain_text("004")
    for key, name in (("2", "Waterfall"), ("3", "Agent graph"), ("4", "Logs"), ("5", "Raw"), ("1", "Transcript")):
        with view.expect_navigation():
            view.keyboard.press(key)
        expect(view.locator(".tabs [aria-current]")).to_contain_text(name)
        assert "step=4" in view.url
        expect(view.locator(".pane-head")).to_contain_text("004")


def test_the_pane_shows_a_step_and_closes(view: Page) -> None:
    """Messages, usage, why it costs that, raw attributes; the address follows."""
    view.goto(f"/traces/{RESEARCH}")
    view.keyboard.press("j")
    view.keyboard.press("j")
    view.keyboard.press("Enter")
    pane = view.locator(".pane")
    expect(pane).to_contain_text("Usage and cost")
    expect(pane).to_contain_text("openinference/openai: prompt includes cache")
    pane.get_by_text("Attributes").click()
    expect(pane).to_contain_text("openinference.span.kind")
    assert "step=2" in view.url
    pane.get_by_role("button", name="Close").click()
    expect(pane).to_be_hidden()
    assert "step=" not in view.url


def test_a_long_transcript_is_paged(view: Page) -> None:
    """Forty steps a page, and a box that goes to any step."""
    view.goto(f"/traces/{LONG.trace_id}")
    expect(view.locator(".turn")).to_have_count(40)
    view.get_by_role("link", name="Later steps").first.click()
    expect(view.locator(".turn .no").first).to_have_text("41")
    view.locator(".go-step").first.fill("30001")
    view.keyboard.press("Enter")
    expect(view.locator('.turn[aria-selected="true"] .no')).to_have_text("30001")


def test_raw_content_is_fetched_when_opened(view: Page) -> None:
    """The raw view starts with a list; attributes come when a step is opened."""
    view.goto(f"/traces/{RESEARCH}?view=raw")
    row = view.locator(".raw-list li").nth(1)
    expect(row).not_to_contain_text("openinference.span.kind")
    row.locator("summary").click()
    expect(row).to_contain_text("openinference.span.kind")


def test_the_graph_opens_steps(view: Page) -> None:
    """A node leads to the first step it stands for."""
    view.goto(f"/traces/{RESEARCH}?view=graph")
    view.get_by_role("link", name="agent critic").click()
    expect(view.locator(".pane-head")).to_contain_text("critic")


def test_a_running_trace_grows_while_one_looks(view: Page) -> None:
    """The page asks again by itself, and what was unfolded stays unfolded."""
    view.goto(f"/traces/{RUNNING}")
    with view.expect_response(lambda r: "part=steps" in r.url, timeout=15_000):
        pass
    expect(view.locator(".turn")).to_have_count(4)


def test_hostile_text_does_nothing(view: Page) -> None:
    """No dialog opens, no image is fetched, no link of a trace's making exists."""
    dialogs: list[str] = []
    view.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    fetched: list[str] = []
    view.on("request", lambda r: fetched.append(r.url))
    for address in (
        f"/traces/{HOSTILE_TRACE}",
        *(f"/traces/{HOSTILE_TRACE}?view={v}&step=3" for v in ("waterfall", "graph", "raw")),
    ):
        view.goto(address)
        view.wait_for_load_state("networkidle")
        assert view.locator("a[href^='javascript']").count() == 0
        assert view.locator("main img").count() == 0
    assert dialogs == []
    assert not [url for url in fetched if url.endswith("/x")]


def test_what_is_wrong_leads_to_the_step_that_shows_it(view: Page, site: Site) -> None:
    """Each signal says what it means on hover; its evidence opens the step beside the view, marked up as plain text."""
    row = next(row for row in site.reader.rows() if row.signals)
    view.goto(f"/traces/{row.trace_id}")
    panel = view.locator(".why")
    expect(panel.locator(".finding")).to_have_count(len(row.signals))
    expect(panel.locator(".chip").first).to_have_attribute("title", meanings()[row.signals[0]])
    seen = panel.locator("a[data-step]").first
    expect(seen).to_have_attribute("title", "<b>seen</b> here")
    seen.click()
    expect(view.locator(".pane-head")).to_contain_text("001")
    assert "step=1" in view.url
