"""Every page in both themes and at both widths: no complaint of the browser, nothing sticking out."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.web.conftest import ADDRESSES, HUGE

from .conftest import LONG, LONG_SESSION, Site, watch

OURS = [a for a in ADDRESSES if HUGE.trace_id not in a]
PAGES = (
    *OURS,
    f"/traces/{LONG.trace_id}?view=waterfall",
    f"/traces/{LONG.trace_id}",
    f"/sessions/{LONG_SESSION}",
    "/sign-in",
)
STICKING_OUT = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide <= 0) return [];
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, .tabs, .result, .wf-scroll"))
    .slice(0, 5).map((e) => e.tagName + "." + e.className);
}"""


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_every_page(browser: Browser, site: Site, width: int, scheme: str) -> None:
    """Loads without an error, a warning or a violation of the policy, and fits its window."""
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        color_scheme=scheme,  # pyright: ignore[reportArgumentType]
        base_url=site.url,
    )
    watched = watch(context)
    for address in PAGES:
        watched.page.goto(address, wait_until="load")
        watched.page.wait_for_function("document.readyState === 'complete'")
        assert watched.page.evaluate(STICKING_OUT) == [], (address, width)
    context.close()
    assert watched.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_every_empty_page(browser: Browser, empty_site: Site, width: int) -> None:
    """The same for a project nothing was sent to."""
    context = browser.new_context(viewport={"width": width, "height": 844}, base_url=empty_site.url)
    watched = watch(context)
    for address in ("/", "/live", "/traces", "/sessions", "/fleet", "/sql", "/doctor", "/analysis", "/evals", "/jobs"):
        watched.page.goto(address, wait_until="load")
        assert watched.page.evaluate(STICKING_OUT) == [], (address, width)
    context.close()
    assert watched.complaints == []


def test_without_javascript(browser: Browser, site: Site) -> None:
    """Lists, transcripts, waterfalls, graphs and steps are read with scripts switched off."""
    context = browser.new_context(java_script_enabled=False, base_url=site.url)
    page = context.new_page()
    page.goto("/")
    assert page.locator("time-chart table tr").count() > 20
    page.goto("/traces")
    assert page.locator("tbody tr").count() == 50
    page.locator("tbody tr td a").first.click()
    assert page.locator(".turn").count() > 2
    page.get_by_role("link", name="Waterfall").click()
    page.locator(".fall tbody a").nth(1).click()
    assert page.locator("h1").inner_text().startswith("002")
    page.goto(f"/traces/{LONG.trace_id}?view=waterfall")
    page.get_by_role("link", name="Later rows").click()
    assert page.locator(".fall tbody tr").count() == 100
    context.close()


def test_the_menu_opens_on_a_phone(browser: Browser, site: Site) -> None:
    """Navigation, hidden at first, is one press away; without scripts too."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False, base_url=site.url)
    page = context.new_page()
    page.goto("/traces")
    assert not page.get_by_role("link", name="Fleet").is_visible()
    page.get_by_text("Menu").click()
    page.get_by_role("link", name="Fleet").click()
    assert page.locator("h1").inner_text() == "Fleet"
    context.close()
