"""Every text colour is readable on every surface it stands on: WCAG AA, light and dark."""

from __future__ import annotations

import re

import pytest

from pilothouse.web.static_files import FOLDER

TOKENS = (FOLDER / "css" / "01-tokens.css").read_text()
SURFACES = ("bg", "surface", "sunken", "raised", "hover", "chosen")
PAIRS = (
    *((text, surface, 4.5) for text in ("ink", "ink-2", "ink-3", "accent") for surface in SURFACES),
    *(
        (text, surface, 4.5)
        for text in ("bad", "warn", "good")
        for surface in ("bg", "surface", "sunken", "hover", f"{text}-weak")
    ),
    ("ink", "bad-weak", 4.5),
    ("ink", "warn-weak", 4.5),
    # Marks and borders of controls: 3 to 1.
    *(
        (fill, "surface", 3.0)
        for fill in ("line-strong", "accent-fill", "kind-error", "kind-agent", "kind-model", "kind-tool", "kind-guard")
    ),
    *((line, "surface", 3.0) for line in ("series-1", "series-2", "series-3", "series-4")),
    ("on-accent", "accent-fill", 4.0),
)


def colour(name: str, theme: str) -> str:
    found = re.search(rf"--{name}: light-dark\((#\w{{6}}), (#\w{{6}})\)", TOKENS)
    assert found, name
    return found[1] if theme == "light" else found[2]


def luminance(hex: str) -> float:
    parts = [int(hex[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ratio(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "surface", "least"), PAIRS)
def test_contrast(theme: str, text: str, surface: str, least: float) -> None:
    """A person with weak sight can read it."""
    found = ratio(colour(text, theme), colour(surface, theme))
    assert found >= least, f"{text} on {surface} in {theme}: {found:.2f}"


def test_no_colour_outside_the_tokens() -> None:
    """The other files name no colour of their own."""
    for path in sorted((FOLDER / "css").glob("*.css")):
        if path.name != "01-tokens.css":
            found = re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[\s;,)])|rgb\([^)]*\)", path.read_text())
            assert found in ([], ["rgb(8 14 22 / 0.45)"]), (path.name, found)
