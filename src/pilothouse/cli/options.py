"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def window(default: str = "7d") -> Callable[[_F], _F]:
    """``--since`` and ``--until``."""

    def add(function: _F) -> _F:
        until = click.option("--until", default="", metavar="TIME", help="before; default now")
        since = click.option("--since", default="", metavar="TIME", help=f"15m, 24h, 7d or ISO 8601; default {default}")
        return since(until(function))

    return add


def page(limit: int) -> Callable[[_F], _F]:
    """``--limit`` and ``--cursor``."""

    def add(function: _F) -> _F:
        cursor = click.option("--cursor", default="", metavar="C", help="page.next of the page before")
        rows = click.option("--limit", default=limit, show_default=True, metavar="N", help="rows a page")
        return rows(cursor(function))

    return add
