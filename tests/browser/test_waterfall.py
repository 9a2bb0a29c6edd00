"""The waterfall: 50,000 spans, few elements, small answers."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.web.conftest import RESEARCH

from .conftest import LONG

ADDRESS = f"/traces/{LONG.trace_id}?view=waterfall"
TOTAL = len(LONG.spans)


def elements(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('*').length"))


def test_a_long_trace_stays_small(view: Page) -> None:
    """Scrolled to its end and back: under 1,500 elements, no answer over a megabyte, the last step is shown."""
    sizes: list[int] = []
    view.on("response", lambda r: sizes.append(len(r.body())) if "/spans.json" in r.url else None)
    view.goto(ADDRESS)
    expect(view.locator(".wf-row .no").first).to_have_text("1")
    expect(view.locator(".wf-bar .end")).to_have_text(f"{TOTAL:,} steps")
    assert elements(view) < 1500
    scroll = view.locator(".wf-scroll")
    scroll.evaluate("e => e.scrollTop = e.scrollHeight / 2")
    expect(view.locator(".wf-row:not([hidden]) .no").first).not_to_have_text("")
    scroll.evaluate("e => e.scrollTop = e.scrollHeight")
    expect(view.locator(".wf-row:not([hidden]) .no").filter(has_text=str(TOTAL))).to_have_count(1)
    assert elements(view) < 1500
    assert len(sizes) == 3
    assert max(sizes) < 1_000_000


def test_a_step_far_away_is_found(view: Page) -> None:
    """An address with a step scrolls to it and shows it beside the bars."""
    view.goto(f"{ADDRESS}&step=40000")
    expect(view.locator('.wf-row[aria-selected="true"] .no')).to_have_text("40000")
    expect(view.locator(".pane .pane-head")).to_contain_text("40000")


def test_errors_only_and_search(view: Page) -> None:
    """All of a long trace is searched, not only what was loaded."""
    view.goto(ADDRESS)
    failed = sum(span["status"] == "error" for span in LONG.spans)
    view.get_by_role("button", name="Errors only").click()
    expect(view.locator(".wf-bar .end")).to_have_text(f"{failed} of {TOTAL:,} steps")
    expect(view.locator(".wf-row:not([hidden])").first).to_have_class("wf-row bad")
    view.get_by_role("button", name="Errors only").click()
    view.get_by_role("searchbox").fill("batch 49")
    expect(view.locator(".wf-bar .end")).to_contain_text("of")
    view.get_by_role("searchbox").fill("")
    expect(view.locator(".wf-bar .end")).to_have_text(f"{TOTAL:,} steps")


def test_folding(view: Page) -> None:
    """One subtree by its arrow, all by the button, and back."""
    view.goto(ADDRESS)
    view.locator(".wf-row .twist").nth(1).click()
    expect(view.locator(".wf-row .below").nth(1)).to_have_text("+99")
    expect(view.locator(".wf-row .no").nth(2)).to_have_text("102")
    view.get_by_role("button", name="Fold", exact=True).click()
    batches = sum(span["kind"] == "chain" for span in LONG.spans)
    expect(view.locator(".wf-bar .end")).to_have_text(f"{batches + 1:,} of {TOTAL:,} steps")
    view.get_by_role("button", name="Unfold").click()
    expect(view.locator(".wf-bar .end")).to_have_text(f"{TOTAL:,} steps")


def test_zooming_in_time(view: Page) -> None:
    """Dragging over the picture takes a stretch of time; a double click takes the whole again."""
    view.goto(f"/traces/{RESEARCH}?view=waterfall")
    last = view.locator(".wf-ruler span").last
    whole = last.inner_text()
    picture = view.locator(".wf-map")
    picture.hover(position={"x": 50, "y": 20})
    view.mouse.down()
    picture.hover(position={"x": 200, "y": 20})
    view.mouse.up()
    expect(last).not_to_have_text(whole)
    view.get_by_role("button", name="Whole time").click()
    expect(last).to_have_text(whole)


def test_the_critical_path_stands_out(view: Page) -> None:
    """Steps off the path step back, and come forward again."""
    view.goto(f"/traces/{RESEARCH}?view=waterfall")
    assert view.locator(".wf-row .path:not([hidden])").count() > 2
    view.get_by_role("button", name="Critical path").click()
    assert view.locator(".wf-row.off-path").count() > 2
    view.get_by_role("button", name="Critical path").click()
    expect(view.locator(".wf-row.off-path")).to_have_count(0)


def test_keys(view: Page) -> None:
    """j and k walk, arrows fold, Enter opens, ] goes on, Esc closes."""
    view.goto(f"/traces/{RESEARCH}?view=waterfall")
    expect(view.locator(".wf-row .no").first).to_have_text("1")
    view.keyboard.press("j")
    expect(view.locator('.wf-row[aria-selected="true"] .no')).to_have_text("1")
    view.keyboard.press("j")
    view.keyboard.press("j")
    expect(view.locator('.wf-row[aria-selected="true"] .no')).to_have_text("3")
    view.keyboard.press("ArrowLeft")
    expect(view.locator('.wf-row[aria-selected="true"]')).to_have_attribute("aria-expanded", "false")
    view.keyboard.press("ArrowRight")
    view.keyboard.press("Enter")
    expect(view.locator(".pane-head")).to_contain_text("003")
    view.keyboard.press("]")
    expect(view.locator(".pane-head")).to_contain_text("004")
    expect(view.locator('.wf-row[aria-selected="true"] .no')).to_have_text("4")
    view.keyboard.press("[")
    expect(view.locator(".pane-head")).to_contain_text("003")
    view.keyboard.press("Escape")
    expect(view.locator(".pane")).to_be_hidden()
