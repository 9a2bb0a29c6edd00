"""How content is put on a span: as text, or as its size and hash where content stays in the process."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from .jsons import VALUE_CHARS_MAX, plain, to_text

if TYPE_CHECKING:
    from .calls import Call
    from .settings import Settings

ITEMS_MAX: Final = 10_000


def put_content(attributes: dict[str, Any], key: str, text: str, settings: Settings) -> None:
    """Add a text under a key; without ``capture_content``, how long it is and its SHA-256."""
    if settings.capture_content:
        attributes[key] = text
        return
    attributes[f"{key}.chars"] = len(text)
    attributes[f"{key}.sha256"] = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def keep(call: Call, item: Any) -> None:
    """Keep a piece of what a wrapped function yields, with its call."""
    if call.subject is None:
        call.subject = Collected()
    call.subject.add(item)


def kept(call: Call, value: Any) -> Any:
    """All pieces as one value, else ``value``; what was beyond the bound is counted on the span."""
    collected: Collected | None = call.subject
    if collected is None:
        return value
    if collected.dropped:
        call.set({"pilothouse.stream.dropped_items": collected.dropped})
    pieces = collected.value()
    return value if pieces is None else pieces


class Collected:
    """The items of a stream, kept up to a bound."""

    __slots__ = ("_chars", "_items", "_only_text", "dropped")

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._chars = 0
        self._only_text = True
        self.dropped = 0
        """Items beyond the bound."""

    def add(self, item: Any) -> None:
        """Keep an item, as plain data."""
        if self._chars >= VALUE_CHARS_MAX or len(self._items) >= ITEMS_MAX:
            self.dropped += 1
            return
        if type(item) is str:
            self._chars += len(item)
            self._items.append(item[:VALUE_CHARS_MAX])
            return
        self._only_text = False
        text = to_text(item, VALUE_CHARS_MAX - self._chars)
        self._chars += len(text)
        self._items.append(plain(item))

    def value(self) -> Any:
        """The pieces of a text as one text, anything else as a list; None where nothing came."""
        if not self._items:
            return None
        return "".join(self._items) if self._only_text else self._items
