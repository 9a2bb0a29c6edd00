"""The windows of one conversation one after the other: shares, growth, what fell out, where the question went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pilothouse.costs import context_window
from pilothouse.records import iso

from .context_parts import Item, kind_of, share_out
from .context_threads import Call, Change, change
from .model.context import (
    PART_KINDS,
    ContextCall,
    ContextMessage,
    ContextPart,
    ContextStep,
    ContextThread,
    Fate,
    PartKind,
    Question,
    QuestionState,
    Repeat,
)
from .rows import milliseconds
from .text import line

_REPEAT_CHARS = 200
"""A tool's output shorter than this may well come twice."""
_DROPPED_SHOWN, _DROPPED_DETAIL, _MESSAGES_DETAIL, _QUESTIONS, _REPEATS = 10, 500, 2_000, 20, 10
_RATIO_MIN, _RATIO_MAX = 0.4, 4.0
"""Reported tokens for one estimated token, within which a growth is taken to be that of the messages added."""
_NEEDLE_MIN, _NEEDLE_MAX = 12, 200
"""Characters of a question that are looked for in other messages; a shorter one may stand anywhere by chance."""

Quoting = Callable[[str, Iterable[str]], frozenset[str]]
"""Which of some messages, by hash, hold some words."""


@dataclass(slots=True)
class Window:
    """One call's window while it is being made out."""

    call: Call
    scale: float
    """Tokens that one estimated token is; 0 where it is not known."""
    thread: int = 0
    tokens: int = 0
    pieces: tuple[tuple[int, ...], ...] = ()
    """Tokens of each part of each message."""
    kinds: tuple[tuple[PartKind, ...], ...] = ()
    tools: int = 0
    unseen: int = 0
    previous: Window | None = None
    change: Change | None = None
    question: QuestionState = "unknown"
    lost: bool = False
    repeats: tuple[Repeat, ...] = ()

    def message_tokens(self, place: int) -> int:
        """Tokens of one message."""
        return sum(self.pieces[place])

    def share_out(self) -> None:
        """Give each part of each message its tokens."""
        call = self.call
        if not call.items:
            self.tokens = self.unseen = call.tokens
            return
        if self._grow():
            return
        estimates = [*_estimates(call.items), call.tools]
        self.tokens = call.tokens or round(sum(estimates) * (self.scale or 1.0))
        shared = share_out(
            self.tokens, estimates, scale=self.scale, complete=not call.tokens or not call.row.previous_response_id
        )
        self.unseen, self.tools = shared.unseen, shared.tokens[-1]
        self.pieces = _by_message(call.items, shared.tokens)

    def _grow(self) -> bool:
        """Where messages were only added, these share out what the total grew by, and the others keep what they had."""
        before = self.previous
        if before is None or not only_added(before.call, self.call):
            return False
        grew = self.call.tokens - before.tokens
        added = self.call.items[len(before.call.items) :]
        estimates = _estimates(added)
        # Otherwise something else changed as well, such as what the provider keeps of earlier reasoning.
        if not _RATIO_MIN * sum(estimates) <= grew <= _RATIO_MAX * sum(estimates):
            return False
        shared = share_out(grew, estimates, scale=grew / sum(estimates) if added else 1.0, complete=True)
        self.tokens, self.tools, self.unseen = self.call.tokens, before.tools, before.unseen
        self.pieces = (*before.pieces, *_by_message(added, shared.tokens))
        return True


def only_added(before: Call, after: Call) -> bool:
    """True where one window is the other with messages added at its end, and both totals are reported."""
    return (
        bool(before.tokens and after.tokens and before.items)
        and before.row.model == after.row.model
        and before.row.tools_ref == after.row.tools_ref
        and len(before.items) <= len(after.items)
        and all(old.key == new.key for old, new in zip(before.items, after.items, strict=False))
    )


def _estimates(items: Sequence[Item]) -> list[float]:
    """Of each part of each message; what a chat format adds to a message goes with its first part."""
    return [
        piece.estimate + (0.0 if place else item.estimate - sum(piece.estimate for piece in item.pieces))
        for item in items
        for place, piece in enumerate(item.pieces)
    ]


def _by_message(items: Sequence[Item], tokens: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    left = iter(tokens)
    return tuple(tuple(next(left) for _ in item.pieces) for item in items)


@dataclass(slots=True)
class _Asked:
    """A question on its way through a conversation."""

    item: Item
    first_step: int
    last_step: int
    gone_step: int | None = None
    missed: list[Window] = field(default_factory=list[Window])
    """Windows while it mattered, from the first on that lacks the message itself."""


def walk(number: int, windows: Sequence[Window], quoting: Quoting) -> ContextThread:
    """Make out the windows of one conversation, in order of time."""
    order: dict[str, int] = {}
    summaries: set[str] = set()
    asked: list[_Asked] = []
    previous: Window | None = None
    newest: dict[int, _Asked | None] = {}  # by the window's identity
    for window in windows:
        items = window.call.items
        window.thread, window.previous = number, previous
        window.share_out()
        fresh = range(len(items))
        if previous is not None and items and previous.call.items:
            window.change = change(previous.call.items, items, previous.call.outputs)
            fresh = window.change.new
            if window.change.summary is not None:
                summaries.add(items[window.change.summary].key)
        for item in items:
            order.setdefault(item.key, len(order))
        question = next((items[place] for place in reversed(fresh) if _asks(items[place], summaries)), None)
        if question is not None and not any(one.item.key == question.key for one in asked[-1:]):
            asked.append(_Asked(question, window.call.step, window.call.step))
        current = asked[-1] if asked else None
        newest[id(window)] = current
        window.kinds = _kinds(items, current.item.key if current else "", order, summaries)
        window.repeats = _repeats(window)
        if items:
            keys = {item.key for item in items}
            for one in asked if len(asked) < 2 else (asked[0], asked[-1]):
                _follow(one, keys, window)
            previous = window
        elif previous is None:
            previous = window
    quoted = {id(one): _quoting(one, quoting) for one in asked if one.missed}
    for window in windows:
        _judge(window, newest[id(window)], quoted)
    for one in asked:
        _settle(one, quoted.get(id(one), frozenset()), newest)
    return _thread(number, windows, asked)


def _asks(item: Item, summaries: set[str]) -> bool:
    return item.asks and item.key not in summaries


def _follow(one: _Asked, keys: set[str], window: Window) -> None:
    if one.item.key in keys and not one.missed:
        one.last_step = window.call.step
    else:
        one.missed.append(window)


def _quoting(one: _Asked, quoting: Quoting) -> frozenset[str]:
    words = next((piece.head for piece in one.item.pieces if piece.kind == "user"), "").strip()[:_NEEDLE_MAX].strip()
    if len(words) < _NEEDLE_MIN:
        return frozenset()
    return quoting(words, {item.hash for window in one.missed for item in window.call.items})


def _holds(window: Window, one: _Asked, quoted: frozenset[str]) -> QuestionState:
    items = window.call.items
    if any(item.key == one.item.key for item in items):
        return "in_view"
    return "quoted" if any(item.hash in quoted for item in items) else "gone"


def _judge(window: Window, one: _Asked | None, quoted: dict[int, frozenset[str]]) -> None:
    if not window.call.items:
        return
    if one is None:
        window.question = "none"
        return
    window.question = _holds(window, one, quoted.get(id(one), frozenset()))
    if window.question == "gone" and window.call.row.previous_response_id:
        window.question = "unknown"  # the provider may well keep it in view


def _settle(one: _Asked, quoted: frozenset[str], newest: Mapping[int, _Asked | None]) -> None:
    for window in one.missed:
        if _holds(window, one, quoted) != "gone":
            one.last_step = window.call.step
        elif one.gone_step is None and not window.call.row.previous_response_id:
            one.gone_step = window.call.step
            window.lost = newest[id(window)] is one


def _kinds(
    items: Sequence[Item], question: str, order: dict[str, int], summaries: set[str]
) -> tuple[tuple[PartKind, ...], ...]:
    asked = order.get(question, -1)
    return tuple(
        tuple(
            kind_of(
                piece,
                question=item.key == question,
                earlier=order[item.key] < asked or item.key in summaries or item.sums_up,
            )
            for piece in item.pieces
        )
        for item in items
    )


def _repeats(window: Window) -> tuple[Repeat, ...]:
    """Long outputs of tools that stand in the window more than once."""
    seen: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for place, item in enumerate(window.call.items):
        for index, piece in enumerate(item.pieces):
            if window.kinds[place][index] == "tool_output" and piece.chars >= _REPEAT_CHARS:
                seen.setdefault((piece.print, piece.chars), []).append((place, index))
    found: list[Repeat] = []
    for (_, chars), places in seen.items():
        if len(places) < 2:
            continue
        first = window.call.items[places[0][0]].pieces[places[0][1]]
        wasted = sum(window.pieces[place][index] for place, index in places[1:])
        found.append(
            Repeat(tool=first.name, times=len(places), chars=chars, wasted_tokens=wasted, head=line(first.head, 160))
        )
    return tuple(sorted(found, key=lambda repeat: -repeat.wasted_tokens))


def _thread(number: int, windows: Sequence[Window], asked: Sequence[_Asked]) -> ContextThread:
    shown = [*asked[:1], *asked[1:][-(_QUESTIONS - 1) :]]
    lost = [window.call.step for window in windows if window.lost]
    full = [share for window in windows if (share := _full(window)) is not None]
    return ContextThread(
        number=number,
        agent=windows[0].call.agent,
        steps=tuple(window.call.step for window in windows),
        peak_tokens=max(window.tokens for window in windows),
        peak_full=max(full, default=None),
        wasted_tokens=sum(_wasted(window) for window in windows),
        compactions=sum(bool(_compacted(window)) for window in windows),
        questions=tuple(
            Question(
                head=one.item.head,
                hash=one.item.hash,
                first_step=one.first_step,
                last_step=one.last_step,
                gone_step=one.gone_step,
            )
            for one in shown
        ),
        question_gone_step=min(lost, default=None),
    )


def _wasted(window: Window) -> int:
    return sum(repeat.wasted_tokens for repeat in window.repeats)


def _full(window: Window) -> float | None:
    size = context_window(window.call.row.model, window.call.row.provider)
    return window.tokens / size if size else None


def _compacted(window: Window) -> str:
    if window.call.row.compacted:
        return "emitter"
    return "summary" if window.change is not None and window.change.summary is not None else ""


def call_of(window: Window, trace_start_ns: int) -> ContextCall:
    """One call as it is told."""
    call, row, made, before = window.call, window.call.row, window.change, window.previous
    dropped = _dropped(window)
    compared = before is not None and made is not None
    new = made.new if made is not None else tuple(range(len(call.items))) if before is None else ()
    return ContextCall(
        step=call.step,
        span_id=row.span_id,
        thread=window.thread,
        agent=call.agent,
        model=row.model,
        start_time=iso(row.start_ns),
        offset_ms=milliseconds(row.start_ns - trace_start_ns),
        tokens=window.tokens,
        tokens_are="reported" if call.tokens else "estimated",
        window=context_window(row.model, row.provider),
        full=_full(window),
        parts=_parts(window),
        messages=len(call.items),
        previous_step=before.call.step if before is not None else None,
        grew=window.tokens - before.tokens if before is not None and window.tokens and before.tokens else None,
        new_messages=len(new),
        new_tokens=sum(window.message_tokens(place) for place in new),
        dropped_messages=len(dropped),
        dropped_tokens=sum(message.tokens - message.kept_tokens for message in dropped) if compared else 0,
        dropped=tuple(sorted(dropped, key=lambda message: message.kept_tokens - message.tokens)[:_DROPPED_SHOWN]),
        compacted=_compacted(window),  # type: ignore[arg-type]  # one of the three words
        summary=_message(window, made.summary) if made is not None and made.summary is not None else None,
        question=window.question,
        question_lost=window.lost,
        repeats=window.repeats[:_REPEATS],
        wasted_tokens=_wasted(window),
        content=bool(call.items),
        server_state=bool(row.previous_response_id),
        notes=_notes(window),
    )


def _notes(window: Window) -> tuple[str, ...]:
    call, row = window.call, window.call.row
    notes: list[str] = []
    if not call.items:
        notes.append("no messages were recorded for this call: nothing but its size is known")
    if row.previous_response_id:
        notes.append("the provider keeps this conversation: what it adds to the window is not visible")
    if call.items and not call.tokens:
        notes.append("the call reports no input tokens: all sizes are estimated from the lengths of texts")
    if call.items and row.tools_offered and not row.tools_ref:
        notes.append("the definitions of the tools were not recorded: they are part of what is unseen")
    if call.items and any(item.role == "" for item in call.items):
        notes.append("some messages are not stored any more: they are counted as other")
    size = context_window(row.model, row.provider)
    if size is not None and window.tokens > size:
        notes.append(f"more than the {size:,} tokens {row.model} is listed with: a longer window was in use")
    return tuple(notes)


def _parts(window: Window) -> tuple[ContextPart, ...]:
    tokens: Counter[str] = Counter()
    chars: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    for item, kinds, sizes in zip(window.call.items, window.kinds, window.pieces, strict=True):
        for piece, kind, size in zip(item.pieces, kinds, sizes, strict=True):
            tokens[kind] += size
            chars[kind] += piece.chars
        messages.update(set(kinds))
    tokens["tools"] += window.tools
    tokens["unseen"] += window.unseen
    total = window.tokens or 1
    return tuple(
        ContextPart(
            kind=kind, tokens=tokens[kind], share=tokens[kind] / total, messages=messages[kind], chars=chars[kind]
        )
        for kind in PART_KINDS
        if tokens[kind] > 0
    )


def _message(window: Window, place: int, *, new: bool = False) -> ContextMessage:
    item, sizes, kinds = window.call.items[place], window.pieces[place], window.kinds[place]
    most = max(range(len(sizes)), key=lambda index: sizes[index], default=0)
    return ContextMessage(
        role=item.role,
        kind=kinds[most] if kinds else "other",
        tokens=sum(sizes),
        chars=item.chars,
        head=item.head,
        hash=item.hash,
        new=new,
    )


def _dropped(window: Window) -> list[ContextMessage]:
    """What the window before had, in its order, with what became of it."""
    made, before = window.change, window.previous
    if made is None or before is None:
        return []
    fate: Fate = "summarised" if _compacted(window) else "gone"
    after = {pair.before: pair.after for pair in made.rewritten}
    found: list[ContextMessage] = []
    for place in sorted((*made.dropped, *after)):
        message = _message(before, place)
        if place in after:
            kept = min(window.message_tokens(after[place]), message.tokens)
            message = replace(message, fate="rewritten", kept_tokens=kept)
        else:
            message = replace(message, fate=fate)
        found.append(message)
    return found


def detail_of(window: Window) -> ContextStep:
    """One call's window message by message."""
    items = window.call.items
    new = set(window.change.new) if window.change is not None else set(range(len(items)))
    first = max(0, len(items) - _MESSAGES_DETAIL)
    return ContextStep(
        messages=tuple(_message(window, place, new=place in new) for place in range(first, len(items))),
        dropped=tuple(_dropped(window)[:_DROPPED_DETAIL]),
        tools=window.call.row.tools_offered,
        cut=first,
    )
