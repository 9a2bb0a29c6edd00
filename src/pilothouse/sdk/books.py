"""What the recorder remembers of the traces that are open now: the last calls of each, and tools that were asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .jsons import readable

_TRACES_MAX: Final = 10_000
_CALLS_KEPT: Final = 10
_WISHES_KEPT: Final = 100
_NAME_CHARS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A tool call that a model asked for and nobody has made yet."""

    id: str
    tool: str
    arguments: str
    """Canonical JSON."""


@dataclass(slots=True)
class TraceBook:
    """One open trace."""

    open: int = 0
    calls: deque[str] = field(default_factory=lambda: deque[str](maxlen=_CALLS_KEPT))
    """``span_id name status`` of the calls that ended last, the newest last."""
    wishes: deque[Wish] = field(default_factory=lambda: deque[Wish](maxlen=_WISHES_KEPT))


class Books:
    """A book for each open trace, dropped when its last span ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._books: OrderedDict[int, TraceBook] = OrderedDict()

    def of(self, trace_id: int) -> TraceBook | None:
        """The book of a trace; None where no span of it is open."""
        return self._books.get(trace_id)

    def opened(self, trace_id: int) -> None:
        """Count a span that begins."""
        with self._lock:
            book = self._books.get(trace_id)
            if book is None:
                book = self._books[trace_id] = TraceBook()
                if len(self._books) > _TRACES_MAX:
                    self._books.popitem(last=False)
            book.open += 1

    def ended(self, trace_id: int, span_id: int, name: str, status: str) -> None:
        """Count a span that ends, and remember it as a call."""
        with self._lock:
            book = self._books.get(trace_id)
            if book is None:
                return
            words = readable(" ".join(name[:_NAME_CHARS].split()))
            book.calls.append(f"{span_id:016x} {words} {status}")
            book.open -= 1
            if book.open <= 0:
                del self._books[trace_id]

    def led_by(self, trace_id: int) -> str:
        """The last calls of a trace, one a line."""
        with self._lock:
            book = self._books.get(trace_id)
            return "\n".join(book.calls) if book is not None else ""

    def wish(self, trace_id: int, wishes: list[Wish]) -> None:
        """Remember what a model asked for."""
        with self._lock:
            if (book := self._books.get(trace_id)) is not None:
                book.wishes.extend(wishes)

    def granted(self, trace_id: int, tool: str, arguments: Callable[[], str]) -> str:
        """The id of the wish that a tool call fulfils: same tool and arguments, else the only one for this tool."""
        book = self._books.get(trace_id)
        if book is None or not book.wishes:
            return ""
        wanted = arguments()
        with self._lock:
            fits = [wish for wish in book.wishes if wish.tool == tool]
            same = [wish for wish in fits if wish.arguments == wanted]
            found = same[0] if same else fits[0] if len(fits) == 1 else None
            if found is None:
                return ""
            book.wishes.remove(found)
            return found.id
