"""``data://…``: what Pilothouse recorded, as a value that is read when somebody looks into it.

::

    data://traces?filter=status:error agent:refunds&since=24h        rows of traces
    data://spans?filter=…&kind=tool&name=refund&content=1            rows of their spans
    data://groups?by=attr.experiment,version&since=7d                figures of traces in groups, summed in the store
    data://session/ID, data://trace/ID                               the spans of one session or trace, with content
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qsl, unquote

from pilothouse.records import BadRequest

SCHEME: Final = "data://"
PARAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "traces": ("filter", "since", "until", "sort"),
    "spans": ("filter", "since", "until", "kind", "name", "content"),
    "groups": ("by", "filter", "since", "until"),
}
_PAGE: Final[Mapping[str, int]] = {"traces": 500, "spans": 100, "groups": 10_000}
_NOUN: Final[Mapping[str, str]] = {"traces": "traces", "spans": "traces' spans", "groups": "groups"}
_EXAMPLES: Final = "data://traces?filter=status:error&since=24h"
_EVER: Final = "3650d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A selection of what was recorded."""

    kind: str
    """``traces``, ``spans`` or ``groups``."""
    params: Mapping[str, str]

    @property
    def noun(self) -> str:
        """What its total counts, in words."""
        return _NOUN[self.kind]

    @property
    def key(self) -> str:
        """The same for the same selection."""
        return json.dumps([self.kind, dict(sorted(self.params.items()))])


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPage:
    """Some rows of a selection."""

    rows: list[dict[str, Any]]
    next: str = ""
    """Where it goes on; empty at the end."""
    total: int = 0
    """How many there are in all: of spans, how many traces they are of."""
    notes: tuple[str, ...] = ()
    """What is missing, in words."""


class RowReader(Protocol):
    """Reads selections page by page, so that none has to be held as a whole."""

    def page(self, kind: str, params: Mapping[str, str], *, limit: int, cursor: str) -> RowPage:
        """One page. MUST raise a ``PilothouseError`` where the selection is not understood or nobody answers."""
        ...


class _Caller(Protocol):
    def get(self, path: str, params: Mapping[str, object] | None = None, /) -> dict[str, Any]: ...


class ApiRows:
    """Reads by way of the server's API. The command line's client is such a caller."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def page(self, kind: str, params: Mapping[str, str], *, limit: int, cursor: str) -> RowPage:
        """One page."""
        asked: dict[str, object] = {**params, "limit": limit}
        if cursor:
            asked["cursor"] = cursor
        answer = self._caller.get(f"/{kind}", asked)
        about = cast("dict[str, Any]", answer.get("page") or {})
        cut = cast("list[dict[str, Any]]", answer.get("cut") or [])
        return RowPage(
            rows=answer["data"],
            next=str(about.get("next") or ""),
            total=int(about.get("total") or 0),
            notes=tuple(str(one["path"]) for one in cut[:5]),
        )


def is_source(id: str) -> bool:
    """True for ``data://…``, unless it is a kept value's id written so."""
    return id.strip().startswith(SCHEME) and not id.strip().startswith(f"{SCHEME}data_")


def read_source(uri: str) -> Source:
    """The selection an address names.

    Raises:
        BadRequest: there is no such kind or parameter; it names those there are.
    """
    rest = uri.strip().removeprefix(SCHEME)
    place, _, query = rest.partition("?")
    kind, _, id = place.partition("/")
    if kind in ("session", "trace") and id:
        field = "session" if kind == "session" else "id"
        quoted = json.dumps(unquote(id), ensure_ascii=False)
        return Source(kind="spans", params={"filter": f"{field}:{quoted}", "since": _EVER, "content": "true"})
    allowed = PARAMS.get(kind)
    if allowed is None or id:
        kinds = [f"{SCHEME}{name}?" for name in PARAMS] + [f"{SCHEME}session/ID", f"{SCHEME}trace/ID"]
        raise BadRequest("there is no such selection", got=uri[:200], allowed=kinds, fix=_EXAMPLES)
    params: dict[str, str] = {}
    try:
        given = parse_qsl(query, keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise BadRequest("the address has too many parameters", got=uri[:200], fix=_EXAMPLES) from error
    for name, value in given:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=2, cutoff=0.5)
            raise BadRequest(
                f"{SCHEME}{kind} takes no {name}", got=uri[:200], allowed=near or list(allowed), fix=_EXAMPLES
            )
        if value:
            params[name] = value
    if kind == "groups" and not params.get("by"):
        raise BadRequest("groups need fields to group by", got=uri[:200], fix="data://groups?by=agent,attr.experiment")
    return Source(kind=kind, params=params)


def pages(reader: RowReader, source: Source) -> Iterator[RowPage]:
    """The pages of a selection, as they are asked for."""
    cursor = ""
    while True:
        page = reader.page(source.kind, source.params, limit=_PAGE[source.kind], cursor=cursor)
        yield page
        if not page.next:
            return
        cursor = page.next
