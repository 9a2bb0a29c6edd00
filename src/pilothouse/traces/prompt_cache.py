"""Providers' prompt caches, told from stored calls: what they served, what they could have, and what broke the prefix.

A provider serves the beginning of a prompt that it has seen a short while ago. So each call is compared with those of its
session before it (and the first of a session with the first of the one before), message by message by their hashes; texts
are read only where they part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pilothouse.costs import price
from pilothouse.records import Usage
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import contents
from pilothouse.store.message_reads import MessageFacts, message_facts
from pilothouse.store.prompt_cache_reads import PromptRow, prompt_rows
from pilothouse.store.schema import TOKEN_BUCKETS

from .model.prompt_cache import BreakKind, PrefixBreak, PromptCache, PromptCacheRow
from .prompt_breaks import Parting, Text, alike, common, lifetime_s, minimum_tokens, part
from .windows import time_range

CALLS_MAX: Final = 5_000
_REFS_MAX: Final = 1_000
_BACK: Final = 6
"""Calls of a session that one is compared with: its agent may have sub-agents of the same name and model."""
_TEXTS_MAX: Final = 2_000
_MISSED_TOKENS_MIN: Final = 256
_INPUT: Final = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "audio_input")
_SIZE_UNKNOWN: Final = 400
_SIZES_MAX: Final = 50_000
_SYSTEM: Final = ("system", "developer")

_WHAT: Final[dict[str, str]] = {
    "time": "the system text holds a moment in time: put it behind everything that stays, or round it to the day",
    "id": "the system text holds an id that changes: move it behind everything that stays",
    "text": "the system text changes between calls: put what changes behind everything that stays",
    "tools_reordered": "the same tools are offered in another order: sort them",
    "tools_change": "other tools are offered than in the call before: offer all of them throughout",
    "message_changed": "an earlier message was changed or taken out: add to the end instead",
    "too_short": "the prefix is shorter than the provider caches: nothing to gain below its minimum",
    "expired": "the call came after the cache's lifetime: a longer one pays where calls come so rarely",
    "not_asked": "nothing asks the provider to cache: set cache_control on what stays the same",
    "missed": "the prefix was the same, in time and long enough, and was not served: name a prompt_cache_key, or check that breakpoints stand behind it",
}


@dataclass(frozen=True, slots=True)
class _Judged:
    """One call beside the one that it is compared with."""

    row: PromptRow
    before: PromptRow | None
    possible: int
    lost: int
    kind: BreakKind | None = None
    cause: str = ""
    parting: Parting | None = None


def prompt_cache(
    store: TraceStore, project: str, *, since_ns: int | None = None, until_ns: int | None = None, agent: str = ""
) -> PromptCache:
    """What providers' prompt caches served in a window, what was possible, and what broke the prefix, dearest first."""
    covered = time_range(since_ns, until_ns)
    rows, more = prompt_rows(
        store, project, covered.since_ns, covered.until_ns, agent=agent, limit=CALLS_MAX, refs_max=_REFS_MAX
    )
    pairs = list(_pairs(rows))
    texts = _texts(store, project, pairs)
    sizes = _sizes(store, project, pairs)
    judged = [_judge(row, before, texts, sizes) for row, before in pairs]
    with_content = sum(1 for row in rows if row.refs)
    notes: list[str] = []
    if more:
        notes.append(
            f"the window has more than {CALLS_MAX:,} calls: the newest are read; name an agent or a shorter window"
        )
    if rows and with_content < len(rows):
        notes.append(
            f"{len(rows) - with_content} of {len(rows)} calls were recorded without their messages: what was possible for them is not known"
        )
    return PromptCache(
        window=covered.as_window(),
        calls=len(rows),
        more=more,
        rows=tuple(_rows(judged)),
        breaks=tuple(_breaks(judged)),
        notes=tuple(notes),
    )


def _pairs(rows: Sequence[PromptRow]) -> Iterable[tuple[PromptRow, PromptRow | None]]:
    """Each call with the earlier one that it has most in common with: of its session, else the first of one before."""
    sessions: dict[tuple[str, ...], list[PromptRow]] = defaultdict(list)
    firsts: dict[tuple[str, ...], PromptRow] = {}
    for row in rows:
        who = (row.agent, row.agent_version, row.model)
        earlier = sessions[(*who, row.session_id or row.trace_id)]
        before: PromptRow | None = None
        if earlier:
            # Of several with as much in common, the latest.
            before = max(reversed(earlier[-_BACK:]), key=lambda one: common(row.refs, one.refs))
            if row.refs and not common(row.refs, before.refs):
                before = earlier[-1]
        else:
            before = firsts.get(who)
            firsts[who] = row
        earlier.append(row)
        yield row, before


def _texts(store: TraceStore, project: str, pairs: Sequence[tuple[PromptRow, PromptRow | None]]) -> dict[str, Text]:
    wanted: dict[str, None] = {}
    scopes: dict[str, None] = {}
    for row, before in pairs:
        scopes[row.scope] = None
        if before is None:
            continue
        same = common(row.refs, before.refs)
        for refs in (row.refs, before.refs):
            if same < len(before.refs) and same < len(refs):
                wanted[refs[same]] = None
        if len(wanted) > _TEXTS_MAX:
            break
    found = contents(store, project, [scope for scope in scopes if scope], list(wanted))
    return {name: Text(role=one.role, text=one.content) for name, one in found.items()}


def _sizes(
    store: TraceStore, project: str, pairs: Sequence[tuple[PromptRow, PromptRow | None]]
) -> dict[str, MessageFacts]:
    """How long the messages of those calls are that do more than go on from the one before."""
    wanted: dict[str, None] = {}
    scopes: dict[str, None] = {}
    for row, before in pairs:
        if before is not None and common(row.refs, before.refs) < len(before.refs) and len(wanted) < _SIZES_MAX:
            scopes[row.scope] = None
            wanted.update(dict.fromkeys((*row.refs, *([row.tools_ref] if row.tools_ref else []))))
    return message_facts(store, project, [scope for scope in scopes if scope], list(wanted))


def _judge(row: PromptRow, before: PromptRow | None, texts: dict[str, Text], sizes: dict[str, MessageFacts]) -> _Judged:
    tokens: dict[str, int] = dict(zip(TOKEN_BUCKETS, row.tokens, strict=True))
    given = sum(tokens[name] for name in _INPUT)
    read = tokens["cache_read"]
    if before is None or not row.refs or not before.refs or not given:
        return _Judged(row, before, read, 0)
    same = common(row.refs, before.refs)
    stood = min(sum(before.tokens[TOKEN_BUCKETS.index(name)] for name in _INPUT), given)
    same_tools = row.tools_ref == before.tools_ref
    other_session = (row.session_id or row.trace_id) != (before.session_id or before.trace_id)
    if other_session:
        # Of two sessions only what stands before the first question can be the same.
        roles = [sizes[ref].role if ref in sizes else "" for ref in row.refs]
        leading = next((place for place, role in enumerate(roles) if role not in _SYSTEM), len(roles))
        stood = min(stood, _share(row, leading, None, given, sizes))
    parting = part(row.refs, before.refs, same, texts)
    # What would have stood still: all of the prompt before, had nothing in it changed.
    if same_tools and parting is None:
        prefix = stood
    elif not same_tools:
        prefix = 0
    else:
        prefix = min(_share(row, same, parting, given, sizes), stood)
    gap_s = (row.start_ns - before.start_ns) / 1e9
    long = bool(before.tokens[TOKEN_BUCKETS.index("cache_write_1h")])
    minimum, life_s = minimum_tokens(row.provider, row.model), lifetime_s(row.provider, row.model, long=long)
    possible = max(prefix if prefix >= minimum and gap_s <= life_s else 0, read)
    if other_session and same_tools and parting is not None and parting.role not in _SYSTEM:
        # Sessions part at their first question: that is as it should be. What they share may still be served.
        lost = max(possible - read, 0)
        kind = _unserved(row, lost, tokens)
        return _Judged(row, before, possible, lost if kind else 0, kind, parting=None)
    if parting is None and same_tools:
        if stood < minimum:
            return _Judged(row, before, possible, 0, "too_short" if given < minimum else None)
        if gap_s > life_s:
            lost = max(stood - read, 0)
            return _Judged(row, before, possible, lost, "expired" if lost > _MISSED_TOKENS_MIN else None)
        lost = max(possible - read, 0)
        kind = _unserved(row, lost, tokens)
        return _Judged(row, before, possible, lost if kind else 0, kind)
    lost = max(stood - max(read, prefix if prefix >= minimum else 0), 0) if stood >= minimum and gap_s <= life_s else 0
    if lost <= _MISSED_TOKENS_MIN:
        lost = max(possible - read, 0)
        kind = _unserved(row, lost, tokens)
        return _Judged(row, before, possible, lost if kind else 0, kind)
    if not same_tools:
        kind = (
            "tools_reordered"
            if sorted(row.tools) == sorted(before.tools) and row.tools != before.tools
            else "tools_change"
        )
        return _Judged(row, before, possible, lost, kind, parting=None)
    assert parting is not None
    if parting.role in _SYSTEM:
        then, now = texts.get(before.refs[same]), texts.get(row.refs[same])
        if then is None or now is None or not alike(then.text, now.text):
            # Another prompt altogether: not the same agent's prefix.
            return _Judged(row, before, possible, 0)
        return _Judged(row, before, possible, lost, "system_changes", parting.cause, parting)
    return _Judged(row, before, possible, lost, "message_changed", parting=parting)


def _share(row: PromptRow, same: int, parting: Parting | None, given: int, sizes: dict[str, MessageFacts]) -> int:
    """Tokens of the messages that two prompts share, by their share of the characters."""
    lengths = [sizes[ref].chars if ref in sizes else _SIZE_UNKNOWN for ref in row.refs]
    tools = sizes[row.tools_ref].chars if row.tools_ref in sizes else 0
    whole = sum(lengths) + tools
    shared = sum(lengths[:same]) + (parting.offset or 0 if parting else 0) + (tools if same else 0)
    return int(given * shared / whole) if whole else 0


def _unserved(row: PromptRow, lost: int, tokens: Mapping[str, int]) -> BreakKind | None:
    if lost <= _MISSED_TOKENS_MIN:
        return None
    written = tokens["cache_write_5m"] + tokens["cache_write_1h"] + tokens["cache_write_other"]
    asks = "claude" not in row.model.lower() or written or tokens["cache_read"]
    return "missed" if asks else "not_asked"


def _rows(judged: Sequence[_Judged]) -> list[PromptCacheRow]:
    groups: dict[tuple[str, str, str, str], list[_Judged]] = defaultdict(list)
    for one in judged:
        groups[one.row.agent, one.row.agent_version, one.row.model, one.row.provider].append(one)
    found: list[PromptCacheRow] = []
    for (agent, version, model, provider), some in groups.items():
        totals: dict[str, int] = dict(
            zip(TOKEN_BUCKETS, map(sum, zip(*(one.row.tokens for one in some), strict=True)), strict=True)
        )
        given, read = sum(totals[name] for name in _INPUT), totals["cache_read"]
        five, hour, other = totals["cache_write_5m"], totals["cache_write_1h"], totals["cache_write_other"]
        written = five + hour + other
        possible = sum(one.possible for one in some)
        at_ns = some[-1].row.start_ns
        cached = _usd(
            Usage(cache_read=read, cache_write_5m=five, cache_write_1h=hour, cache_write_other=other),
            model,
            provider,
            at_ns,
        )
        plain = _usd(Usage(input_uncached=read + written), model, provider, at_ns)
        found.append(
            PromptCacheRow(
                agent=agent,
                version=version,
                model=model,
                provider=provider,
                calls=len(some),
                input_tokens=given,
                read_tokens=read,
                written_tokens=written,
                hit_rate=round(read / given, 4) if given else None,
                possible_tokens=possible,
                possible_rate=round(possible / given, 4) if given else None,
                saved_usd=plain - cached if plain is not None and cached is not None else None,
                lost_usd=_lost(max(possible - read, 0), model, provider, at_ns),
            )
        )
    return sorted(found, key=lambda one: (-(one.lost_usd or 0), -one.input_tokens, one.agent, one.model))


def _breaks(judged: Sequence[_Judged]) -> list[PrefixBreak]:
    groups: dict[tuple[str, ...], list[_Judged]] = defaultdict(list)
    for one in judged:
        if one.kind is not None:
            groups[one.kind, one.cause, one.row.agent, one.row.agent_version, one.row.model].append(one)
    found: list[PrefixBreak] = []
    for (_, cause, agent, version, model), some in groups.items():
        worst = max(some, key=lambda one: one.lost)
        before = worst.before
        assert worst.kind is not None and before is not None
        lost = sum(one.lost for one in some)
        parting = worst.parting
        found.append(
            PrefixBreak(
                kind=worst.kind,
                what=_WHAT[cause or worst.kind],
                agent=agent,
                version=version,
                model=model,
                calls=len(some),
                lost_tokens=lost,
                lost_usd=_lost(lost, model, worst.row.provider, worst.row.start_ns),
                trace_id=worst.row.trace_id,
                step=worst.row.step,
                span_id=worst.row.span_id,
                before_trace_id=before.trace_id,
                before_step=before.step,
                message=parting.message + 1 if parting else None,
                role=parting.role if parting else "",
                offset=parting.offset if parting else None,
                before=parting.before if parting else "",
                after=parting.after if parting else "",
            )
        )
    return sorted(found, key=lambda one: (-(one.lost_usd or 0), -one.lost_tokens, one.kind, one.agent))


def _lost(tokens: int, model: str, provider: str, at_ns: int) -> Decimal | None:
    plain = _usd(Usage(input_uncached=tokens), model, provider, at_ns)
    served = _usd(Usage(cache_read=tokens), model, provider, at_ns)
    return plain - served if plain is not None and served is not None else None


def _usd(usage: Usage, model: str, provider: str, at_ns: int) -> Decimal | None:
    return price(usage, model=model, provider=provider, at_ns=at_ns).usd
