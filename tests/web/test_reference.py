"""The reference page holds every field of every context."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pilothouse.web.context import describe
from pilothouse.web.pages import PAGES
from pilothouse.web.pages.errors import ErrorPage
from pilothouse.web.pages.patterns import PATTERNS
from pilothouse.web.pages.sign_in import SignInPage
from pilothouse.web.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pages.md"
CONTEXTS = [*(page.context for page in (*PAGES, PATTERNS)), ErrorPage, SignInPage]


def test_the_page_is_up_to_date() -> None:
    """To renew it: ``python -m pilothouse.web.reference docs/reference/pages.md``."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_field_is_explained() -> None:
    """A context is frozen, and each of its fields says what it holds."""
    for context in CONTEXTS:
        assert context.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
        for name, kind, help in describe(context):
            assert len(help) > 8, f"{context.__name__}.{name} has no help"
            assert "pilothouse" not in kind, kind


def test_every_page_has_its_own_context_and_noun() -> None:
    """Two pages never share a name, a path or a context."""
    for part in ("name", "path", "context"):
        values = [getattr(page, part) for page in (*PAGES, PATTERNS)]
        assert len(set(values)) == len(values)
    assert all(dataclasses.is_dataclass(page.context) for page in PAGES)
