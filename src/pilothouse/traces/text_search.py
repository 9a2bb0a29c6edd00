"""Search for words in everything that was said, given to a tool, or returned by one."""

from __future__ import annotations

import re

from pilothouse.records import BadRequest, iso
from pilothouse.store import TraceStore
from pilothouse.store.text_reads import Place, find_words, texts_of

from .cursors import Cursor, digest, read_cursor, write_cursor
from .filters import check_text
from .model import Hit, Page
from .text import line
from .windows import Range, slices, time_range

_LIMIT_MAX = 500
_WORDS_MAX = 500
_SNIPPET = 160


def text_search(
    store: TraceStore,
    project: str,
    words: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int = 20,
    cursor: str = "",
) -> Page[Hit]:
    """Where words occur, newest first. Several words must stand together as written; case does not matter.

    Words are ASCII letters and digits in a row, or any other letters; parts of a word are not found.
    """
    check_text(words, "the text", _WORDS_MAX)
    wanted = words.strip().strip('"').strip()
    if not any(character.isalnum() for character in wanted):
        raise BadRequest("there is no word to search for", got=words, fix="pilothouse search 'card declined'")
    if not 1 <= limit <= _LIMIT_MAX:
        raise BadRequest(f"a page has 1 to {_LIMIT_MAX} rows", got=limit)
    marked = digest("text", wanted)
    before = read_cursor(cursor, marked) if cursor else None
    if before is None:
        covered = time_range(since_ns, until_ns)
    else:
        covered = Range(since_ns=before.since_ns, until_ns=before.until_ns, assumed=before.assumed)
    after = (before.key, before.id) if before is not None else None
    places, exact = _places(store, project, wanted, covered, limit + 1, after)
    shown = places[:limit]
    more = len(places) > limit
    total, total_exact = len(shown), exact and not more
    if before is not None:
        total, total_exact = before.total, before.exact
    elif more:
        # As many in each hour as among these: words are seldom that even, so the total is called an estimate.
        passed = max(shown[0].time_ns - shown[-1].time_ns, (covered.until_ns - shown[-1].time_ns) // 10, 1)
        total = max(len(places), round(len(shown) * (covered.until_ns - covered.since_ns) / passed))
    following = ""
    if more:
        last = shown[-1]
        following = write_cursor(
            Cursor(
                key=last.time_ns,
                id=last.id,
                since_ns=covered.since_ns,
                until_ns=covered.until_ns,
                total=total,
                assumed=covered.assumed,
                exact=total_exact,
            ),
            marked,
        )
    texts = texts_of(store, project, shown)
    return Page(
        items=tuple(
            Hit(
                trace_id=place.trace_id,
                span_id=place.span_id,
                role=place.role,
                snippet=snippet(texts.get(place.key, ""), wanted),
                time=iso(place.time_ns),
            )
            for place in shown
        ),
        next=following,
        more=more,
        total=total,
        total_is="exact" if total_exact else "estimate",
        window=covered.as_window(),
    )


def _places(
    store: TraceStore, project: str, words: str, covered: Range, limit: int, after: tuple[int, str] | None
) -> tuple[list[Place], bool]:
    """The newest places, and whether these are all."""
    upper = covered.until_ns if after is None else min(covered.until_ns, after[0] + 1)
    found: dict[tuple[str, str, int], Place] = {}
    for since_ns, until_ns in slices(covered.since_ns, upper):
        # Twice as many, since versions of a row that are not merged yet come twice.
        places = find_words(store, project, words, since_ns, until_ns, limit=limit * 2, after=after)
        for place in places:
            found.setdefault((place.scope, place.id, place.time_ns), place)
        if len(found) >= limit or len(places) >= limit * 2:
            return list(found.values())[:limit], False
    return list(found.values()), True


def snippet(text: str, words: str, chars: int = _SNIPPET) -> str:
    """About so many characters around the first place of the words."""
    matched = re.search(re.escape(words), text, re.IGNORECASE)
    at = matched.start() if matched else 0
    start = max(0, at - chars // 3)
    piece = line(text[start : start + chars], chars)
    return ("…" if start else "") + piece + ("…" if start + chars < len(text) else "")
