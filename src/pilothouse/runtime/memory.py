"""Memory across sessions: facts and notes per user and agent, with where they come from, searched by words, forgettable.

What is remembered was written by users, tools and models: wherever it is put before a model it stands between markers,
as data, and within a bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from pilothouse.records import MEMORY_KINDS, BadRequest, Memory, PilothouseError, names
from pilothouse.records.harmless import clean
from pilothouse.records.ids import new_id

from .fence import fenced
from .plan import problem_text
from .tracing import note, trace_id

TEXT_CHARS_MAX: Final = 1_000
RECALL_MAX: Final = 20
CHARS: Final = 2_000
"""What memories put into the context at most."""


class MemoryKeeper(Protocol):
    """Where memories are kept. :class:`pilothouse.store.memory_store.MemoryStore` is one."""

    def remember(self, memory: Memory) -> Memory:
        """Keep it; the same text of the same user and agent again MUST stay one memory."""
        ...

    def recall(self, user: str, agent: str, words: str = "", *, limit: int = 10) -> Sequence[Memory]:
        """The best first; without words the newest. MUST NOT give another user's."""
        ...

    def forget(self, user: str, agent: str, id: str) -> bool:
        """Delete one."""
        ...

    def forget_all(self, user: str, agent: str | None = None) -> int:
        """Delete all of a user."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTools:
    """The tools of one run: it sees the memories of its user and its agent, and of nobody else."""

    keeper: MemoryKeeper
    user: str
    agent: str
    run_id: str = ""
    chars: int = CHARS
    marker: str = ""
    """The fence's mark; empty: a new one each time."""
    now_ns: Callable[[], int] = time.time_ns

    def remember(self, text: str, kind: str = "note") -> str:
        """Keep a fact about the user, or a note for next time."""
        return self._said(lambda: self._remember(text, kind))

    def recall(self, query: str = "", limit: int = 10) -> str:
        """What is remembered about something; without a query the newest."""
        return self._said(lambda: self._recall(query, limit))

    def forget(self, id: str) -> str:
        """Delete a memory by its id, or all of this user's with this agent by the word ``all``."""
        return self._said(lambda: self._forget(id.strip()))

    def for_context(self, request: str, limit: int = 5) -> str:
        """What is remembered that a request speaks of, fenced; empty where there is nothing."""
        if not request.strip():
            return ""
        found = self.keeper.recall(self.user, self.agent, request, limit=limit)
        if not found:
            return ""
        text = self._fenced(found, "What you remember of this user from earlier sessions.")
        self._note("recall", found, len(text))
        return text

    def _remember(self, text: str, kind: str) -> str:
        flat = " ".join(clean(text).split())
        if not flat:
            raise BadRequest(
                "there is nothing to remember", got=text[:60], fix='remember("prefers invoices by post", "fact")'
            )
        if len(flat) > TEXT_CHARS_MAX:
            raise BadRequest(
                f"a memory has at most {TEXT_CHARS_MAX} characters", got=len(flat), fix="remember what it comes down to"
            )
        if kind not in MEMORY_KINDS:
            raise BadRequest("there is no such kind of memory", got=kind, allowed=list(MEMORY_KINDS))
        now = self.now_ns()
        wanted = Memory(
            id=new_id("mem"),
            user=self.user,
            agent=self.agent,
            kind=kind,  # type: ignore[arg-type]  # checked above
            text=flat,
            created_ns=now,
            confirmed_ns=now,
            run_id=self.run_id,
            trace_id=trace_id(),
        )
        kept = self.keeper.remember(wanted)
        self._note("remember", [kept], 0, flat)
        return f"remembered as {kept.id}" if kept.id == wanted.id else f"known already as {kept.id}"

    def _recall(self, query: str, limit: int) -> str:
        found = self.keeper.recall(self.user, self.agent, query, limit=max(1, min(limit, RECALL_MAX)))
        if not found:
            return "nothing is remembered" + (
                f" about {query[:100]!r}; recall() gives the newest" if query.strip() else ""
            )
        text = self._fenced(found, "")
        self._note("recall", found, len(text))
        return text

    def _forget(self, id: str) -> str:
        if id == "all":
            count = self.keeper.forget_all(self.user, self.agent)
            self._note("forget", [], 0)
            return f"forgotten: {count} memories, all of this user's"
        if not self.keeper.forget(self.user, self.agent, id):
            raise BadRequest("nothing is remembered under this id", got=id, fix="recall() gives the ids")
        note(names.MEMORY_EVENT, lambda: {names.MEMORY_ACTION: "forget", names.MEMORY_IDS: id})
        return f"forgotten: {id}"

    def _fenced(self, found: Sequence[Memory], intro: str) -> str:
        lines, left_out = memory_lines(found, self.chars - 500)
        block, rule = fenced("\n".join(lines), self.marker)
        rest = f"\n({left_out} more: recall(query) with other words)" if left_out else ""
        return "\n".join(part for part in (intro, rule, block + rest) if part)

    def _note(self, action: str, found: Sequence[Memory], chars: int, text: str = "") -> None:
        note(
            names.MEMORY_EVENT,
            lambda: {
                names.MEMORY_ACTION: action,
                names.MEMORY_IDS: " ".join(one.id for one in found),
                names.MEMORY_CHARS: chars,
            },
            (lambda: {names.MEMORY_TEXT: text}) if text else None,
        )

    def _said(self, act: Callable[[], str]) -> str:
        try:
            return act()
        except PilothouseError as error:
            return f"error: {problem_text(error)}"


def memory_lines(found: Sequence[Memory], chars: int) -> tuple[list[str], int]:
    """A line a memory with when and where from, as many as the bound holds, and how many it does not."""
    lines: list[str] = []
    room = chars
    for one in found:
        day = datetime.fromtimestamp(one.confirmed_ns / 1e9, UTC).strftime("%Y-%m-%d")
        line = f"{one.id} [{one.kind}, {day}, run {one.run_id[:40] or 'unknown'}] {one.text}"
        if len(line) > room:
            break
        lines.append(line)
        room -= len(line) + 1
    return lines, len(found) - len(lines)
