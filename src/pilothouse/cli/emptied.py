"""Which filter emptied an answer: where nothing is found, it is asked again without each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .client import Client

_TERM = re.compile(r'[^\s"]*"[^"]*"|\S+')
"""One term of a filter; a quoted phrase is one."""
_ASKED_MAX = 8
_NO_FILTERS = ("limit", "cursor", "sort", "by", "focus", "field")


def ask(client: Client, path: str, query: Mapping[str, Any], *, found: Callable[[Any], object]) -> dict[str, Any]:
    """The envelope of a GET; where ``found`` sees nothing in its data, ``page.emptied_by`` names the filters to blame.

    A filter is to blame where something is found without it. The API says so itself for some lists.
    """
    answer = client.get(path, query)
    page: dict[str, Any] = answer.get("page") or {}
    if found(answer["data"]) or page.get("emptied_by") or query.get("cursor"):
        return answer
    without = list(_without_one(query))[:_ASKED_MAX]
    blamed = [name for name, less in without if found(client.get(path, less)["data"])]
    return {**answer, "page": {**page, "emptied_by": blamed}} if blamed else answer


def _without_one(query: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What can be left out, as it is typed, and the query without it."""
    for name, value in query.items():
        if not value or name in _NO_FILTERS:
            continue
        if name == "filter":
            terms: list[str] = _TERM.findall(str(value))
            for place, term in enumerate(terms):
                yield term, {**query, name: " ".join([*terms[:place], *terms[place + 1 :]])}
        elif name == "text":
            yield str(value), {**query, name: ""}
        else:
            shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # a list of words
            yield f"--{name} {shown}", {**query, name: ""}
