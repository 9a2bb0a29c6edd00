"""What stands around every page: navigation, banner, theme, twins, footer."""

from __future__ import annotations

from dataclasses import dataclass

from .reader import Refusals, Visitor

NAV = (
    (
        "",
        (
            ("overview", "/", "Overview"),
            ("live", "/live", "Live"),
            ("traces", "/traces", "Traces"),
            ("sessions", "/sessions", "Sessions"),
        ),
    ),
    (
        "",
        (
            ("logs", "/logs", "Logs"),
            ("fleet", "/fleet", "Fleet"),
            ("map", "/map", "Map"),
            ("sql", "/sql", "SQL"),
            ("analysis", "/analysis", "Analysis"),
            ("queues", "/queues", "Queues"),
            ("evals", "/evals", "Evals"),
            ("doctor", "/doctor", "Doctor"),
            ("jobs", "/jobs", "Jobs"),
        ),
    ),
    (
        "",
        (
            ("approvals", "/approvals", "Approvals"),
            ("budgets", "/budgets", "Budgets"),
            ("gateway", "/gateway", "Gateway"),
            ("guards", "/guards", "Guards"),
            ("online", "/evals/online", "Online evals"),
            ("policy", "/policy", "Policy"),
            ("keys", "/keys", "Keys"),
        ),
    ),
)
THEMES = ("light", "dark")
THEME_COOKIE = "pilothouse_theme"


@dataclass(frozen=True, slots=True, kw_only=True)
class NavItem:
    """One entry of the side bar."""

    name: str
    """Also the icon's name."""
    href: str
    label: str
    current: bool
    count: int = 0
    """What waits there; shown where it is not 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The frame of a page."""

    nav: tuple[tuple[NavItem, ...], ...]
    theme: str
    """light, dark or empty: as the system says."""
    visitor: Visitor | None
    """None on the sign-in page."""
    refusals: Refusals | None
    """Shown as a banner: writes refused within the last hour."""
    json_url: str
    """The page's JSON twin; empty where there is none."""
    md_url: str
    here: str
    """The address of the page itself."""
    now_ns: int


def shell(*, visitor: Visitor | None, current: str, theme: str, here: str, twin: str, query: str, now_ns: int) -> Shell:
    """Make the frame. ``twin`` is the path the twins hang on; empty where the page has none."""
    refusals = visitor.refusals if visitor else None
    counts = {"doctor": 1 if refusals else 0, "approvals": visitor.waiting if visitor else 0}
    groups = tuple(
        tuple(
            NavItem(
                name=name,
                href=href,
                label=label,
                current=name == current,
                count=counts.get(name, 0),
            )
            for name, href, label in entries
        )
        for _, entries in NAV
    )
    tail = f"?{query}" if query else ""
    return Shell(
        nav=groups if visitor else (),
        theme=theme if theme in THEMES else "",
        visitor=visitor,
        refusals=refusals,
        json_url=f"{twin}.json{tail}" if twin else "",
        md_url=f"{twin}.md{tail}" if twin else "",
        here=here + tail,
        now_ns=now_ns,
    )
