"""The reference of the pages, made from their contexts: ``python -m pilothouse.web.reference docs/reference/pages.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from .context import describe
from .pages import PAGES
from .pages.errors import ErrorPage
from .pages.patterns import PATTERNS
from .pages.sign_in import SignInPage
from .visit import PageSpec

_HEAD = """\
# Pages

Made from the context dataclasses by `python -m pilothouse.web.reference docs/reference/pages.md`; do not edit.

Every page is rendered on the server from one context. The same context is JSON and Markdown at the same address: put
`.json` or `.md` behind the path (`/overview.json` for the first page), or send `Accept: application/json`. Keys are
only ever added. Types named here are those of `pilothouse.traces.model`. Pages are read with the session cookie of
`pilothouse sign-in`, or with an API key.
"""


def reference() -> str:
    """The page as Markdown."""
    blocks = [_HEAD]
    blocks += [_page(page) for page in (*PAGES, PATTERNS)]
    blocks.append(
        "## Sign in\n\n`/sign-in`: how to get a one-time link; `/sign-in?token=…` spends one. No twins.\n\n"
        + _fields(SignInPage)
    )
    blocks.append(
        "## Errors\n\nWhat went wrong, at any address. Its JSON is the one error shape of every surface.\n\n"
        + _fields(ErrorPage)
    )
    return "\n".join(blocks)


def _page(page: PageSpec) -> str:
    summary = (page.context.__doc__ or "").strip().splitlines()[0]
    return f"## {page.name.capitalize()}\n\n`{page.path}`: {summary}\n\n{_fields(page.context)}"


def _fields(context: type[object]) -> str:
    rows = [f"| `{name}` | `{kind.replace('|', '/')}` | {help} |" for name, kind, help in describe(context)]
    return "\n".join(["| field | type | what it holds |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
