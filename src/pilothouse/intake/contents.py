"""Content that is stored once: messages, long values, tool definitions, documents."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from pilothouse.guards import Masker
from pilothouse.records import Message, encode_message

from .moments import stored_milliseconds

INLINE_CHARS = 1_000
"""A value up to this long stays whole in its span's row."""
PREVIEW_CHARS = 500
"""What a row shows of a longer value, before the mark that it goes on."""


class SeenContents:
    """Which contents are known to be stored, by scope; bounded, and forgetting is harmless: the store keeps one."""

    def __init__(self, hashes_max: int = 150_000) -> None:
        self._hashes_max = hashes_max
        self._scopes: OrderedDict[tuple[str, str, str], dict[str, int]] = OrderedDict()
        self._count = 0

    def of(self, project: str, scope: str, day: str) -> dict[str, int]:
        """The known contents of a scope, hash to size. Each day stores its own copy, so that a day can be dropped."""
        key = (project, scope, day)
        known = self._scopes.get(key)
        if known is None:
            known = self._scopes[key] = {}
        else:
            self._scopes.move_to_end(key)
        return known

    def bound(self, added: int) -> None:
        """Count what was added, and drop the least recently used scopes until the bound holds."""
        self._count += added
        while self._count > self._hashes_max and len(self._scopes) > 1:
            _, dropped = self._scopes.popitem(last=False)
            self._count -= len(dropped)

    def forget_all(self) -> None:
        """Forget everything: after a failed write, memory may be ahead of the store."""
        self._scopes.clear()
        self._count = 0


class SpanAt(NamedTuple):
    """The span that says something, for the contents it says first."""

    scope: str
    trace_id: str
    span_id: str
    at_ns: int


class Contents:
    """Collects the content rows of one batch of one project."""

    def __init__(
        self, seen: SeenContents, masker: Masker, project: str, *, received: str, day: str, version: int
    ) -> None:
        self._seen = seen
        self._masker = masker
        self._project = project
        self._arrival = (received, day, version)
        self._day = day
        self.rows: list[list[Any]] = []
        """The values of ``schema.MESSAGE`` in order."""
        self.bytes_offered = 0
        """Bytes of content that arrived, repeated or not: what storing once is measured against."""
        self.bytes_new = 0

    def put_messages(self, items: Sequence[Message], at: SpanAt) -> list[str]:
        """Store each message once and return the references. Instructions are shared by the whole project."""
        if not items:
            return []
        own = self._seen.of(self._project, at.scope, self._day)
        shared = self._seen.of(self._project, "", self._day)
        offered = 0
        references: list[str] = []
        for item in items:
            digest = item.hash
            references.append(digest)
            # Nearly all of a conversation has been said before: this loop is most of what a span costs.
            size = own.get(digest) or shared.get(digest)
            if size is None:
                size = self._new_message(item, at, own, shared)
            offered += size
        self.bytes_offered += offered
        return references

    def _new_message(self, item: Message, at: SpanAt, own: dict[str, int], shared: dict[str, int]) -> int:
        instruction = item.role in ("system", "developer")
        content, envelope = encode_message(self._masker.mask_message(item))
        size = len(content) + len(envelope) + 1
        (shared if instruction else own)[item.hash] = size
        self._seen.bound(1)
        self.bytes_new += size
        scope = "" if instruction else at.scope
        self._row(scope, item.hash, "message", item.role, item.name, content, envelope, at)
        return size

    def put_value(self, text: str, kind: str, at: SpanAt, *, name: str = "") -> str:
        """Store a long text once and return its reference. Tool definitions are shared by the whole project."""
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
        scope = "" if kind == "tools" else at.scope
        known = self._seen.of(self._project, scope, self._day)
        self.bytes_offered += len(text)
        if digest not in known:
            known[digest] = len(text) + 1
            self._seen.bound(1)
            self.bytes_new += len(text)
            self._row(scope, digest, kind, "", name, self._masker.mask(text), "", at)
        return digest

    def _row(
        self, scope: str, digest: str, kind: str, role: str, name: str, content: str, envelope: str, at: SpanAt
    ) -> None:
        time = stored_milliseconds(at.at_ns)
        row = [self._project, scope, digest, kind, role, name, content, envelope, at.trace_id, at.span_id, time]
        self.rows.append([*row, *self._arrival])


def preview(text: str) -> str:
    """What a row shows of a text: all of it, or its head and a mark that it goes on."""
    return text if len(text) <= INLINE_CHARS else text[:PREVIEW_CHARS] + "…"
