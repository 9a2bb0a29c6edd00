"""Resources: values too large for an answer, and guides, read page by page under addresses of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from pilothouse.records import BadRequest, NotFound

from .answers import BUDGET, BUDGET_MAX, BUDGET_MIN
from .caller import Desk
from .get import TEXT_FORMS, get
from .guides import guide, guide_names

SCHEME = "pilothouse"
TEMPLATES: Mapping[str, str] = {
    "pilothouse://trace/{id}/step/{step}/{field}{?offset,budget}": "A part of a step, page by page: input, output, …",
    "pilothouse://trace/{id}/{form}{?budget}": "A trace as card, tree or transcript",
    "pilothouse://session/{id}/{form}{?cursor,budget}": "A session as tree or transcript",
}
_MORE = re.compile(r"^cut: .*?--offset (\d+)$|^cut: .*?\"offset\":(\d+)\}$", re.MULTILINE)


def listed() -> list[tuple[str, str]]:
    """Address and name of what has an address without an id."""
    return [("pilothouse://sql-schema", "views and columns of SQL")] + [
        (f"pilothouse://{name.replace(':', '/')}", name) for name in guide_names()
    ]


def read(desk: Desk, uri: str) -> str:
    """The text at an address. Its last line names the next page where there is one.

    Raises:
        BadRequest: this is no address of ours.
        NotFound: nothing is there.
    """
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query))
    path = [unquote(piece) for piece in (parts.netloc, *parts.path.split("/")) if piece]
    if parts.scheme != SCHEME or not path:
        raise BadRequest("this is no address of a resource", got=uri, allowed=list(TEMPLATES))
    budget = _number(query, "budget", BUDGET, BUDGET_MIN, BUDGET_MAX)
    if path == ["sql-schema"]:
        return desk.caller.text("/sql/schema", {"as": "text"})
    if len(path) == 2 and path[0] in ("docs", "skill"):
        return guide(path[0], path[1])
    if len(path) == 5 and path[0] == "trace" and path[2] == "step":
        return _field(desk, path, _number(query, "offset", 0, 0, 10**9), budget)
    if len(path) == 3 and path[0] == "trace" and path[2] in TEXT_FORMS:
        return get(desk, {"id": path[1], "as": path[2], "budget": budget}).text
    if len(path) == 3 and path[0] == "session" and path[2] in ("tree", "transcript"):
        arguments = {"id": f"session:{path[1]}", "as": path[2], "budget": budget, "cursor": query.get("cursor", "")}
        return get(desk, arguments).text
    raise NotFound("no resource has this address", got=uri, allowed=list(TEMPLATES))


def _field(desk: Desk, path: list[str], offset: int, budget: int) -> str:
    _, id, _, step, field = path
    from .get import segment

    text = desk.caller.text(
        f"/traces/{segment(id)}/spans/{segment(step)}",
        {"field": field, "offset": offset, "budget": max(BUDGET_MIN, budget - 200)},
    )
    more = list(_MORE.finditer(text))
    if more and text.rstrip().endswith(more[-1][0]):
        following = f"{SCHEME}://trace/{segment(id)}/step/{segment(step)}/{segment(field)}?offset={more[-1][1]}"
        text = text[: more[-1].start()] + f"more: {following}\n"
    return text


def _number(query: Mapping[str, str], name: str, otherwise: int, least: int, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return otherwise
    if not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise BadRequest(f"{name} is a number", got=text, allowed=f"{least} to {most}")
    return int(text)
