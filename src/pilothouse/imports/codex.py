"""Codex rollouts: the JSON lines that Codex writes below ``~/.codex/sessions``.

Source: openai/codex, codex-rs/protocol/src/protocol.rs (``RolloutItem``, ``SessionMeta``, ``EventMsg``) and models.rs
(``ResponseItem``). A line is ``{timestamp, type, payload}`` with type session_meta, turn_context, response_item,
event_msg or compacted; before 0.30 lines were response items alone.

A prompt and all that is done for it is a trace, the rollout is their session. A sub-agent has a rollout of its own, which
names its parent: where both lie in one folder it becomes a child agent of the call that started it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .codex_thread import Thread, Turn
from .reading import Unreadable, count, fields, moment_ns, parse, word
from .sources import Opened, Source, TooMuch
from .trajectory import Foreign, Item, Skipped

_TYPES = frozenset({"session_meta", "turn_context", "response_item", "event_msg", "compacted"})
_ITEMS = frozenset(
    {"message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "local_shell_call"}
)
_LOOKED_AT = 20
_COPY_NS = 1_000_000_000
"""What a child copies of its parent is written in one go."""
_HEAD_BYTES_MAX = 4 << 20


class Line(NamedTuple):
    """One line, whatever version wrote it."""

    kind: str
    payload: Mapping[str, Any]
    at: int
    ordinal: int


@dataclass(slots=True)
class _Family:
    """Who started whom, among the rollouts of a folder."""

    paths: dict[str, Path] = field(default_factory=dict[str, Path])
    children: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


def read(source: Source) -> Iterator[Item]:
    """The turns of a rollout, with those of its sub-agents."""
    lines = _lines(source)
    first = next(lines, None)
    while isinstance(first, Skipped):
        yield first
        first = next(lines, None)
    if first is None:
        return
    meta: Mapping[str, Any] = first.payload if first.kind == "session_meta" else {}
    family = _family(source.path.parent, source.path.parent.stat().st_mtime_ns)
    if not source.named and _parent_of(meta) in family.paths:
        return
    own = word(meta.get("id"))
    yield from _run(Thread(), [first], lines, family, (own,))


def _run(
    thread: Thread, head: list[Line], lines: Iterator[Line | Skipped], family: _Family, above: tuple[str, ...]
) -> Iterator[Item]:
    """A rollout, and those of its children; ``above`` are the agents within which it lies, itself included."""
    waiting = [child for child in family.children.get(above[-1], ()) if child not in above]
    last: Turn | None = None
    for line in _own(head, lines):
        if isinstance(line, Skipped):
            yield line
            continue
        before = dict(thread.tools)
        yield from thread.take(line.kind, line.payload, line.at)
        last = thread.turn or last
        for id in before.keys() - thread.tools.keys():
            output = str(line.payload.get("output", ""))[:10_000]
            for child in [child for child in waiting if child in output]:
                waiting.remove(child)
                yield from _child(child, before[id].trace, before[id].step, family, above)
    yield from thread.end()
    for child in waiting:
        if last is not None:
            yield from _child(child, last.trace, thread.root, family, above)


def _own(head: list[Line], lines: Iterator[Line | Skipped]) -> Iterator[Line | Skipped]:
    """The lines but for those that a sub-agent's rollout copied from its parent."""
    yield from head
    meta: Mapping[str, Any] = head[0].payload if head and head[0].kind == "session_meta" else {}
    starts = count(meta.get("subagent_history_start_ordinal"))
    copying = False
    for line in lines:
        if not isinstance(line, Skipped):
            if line.kind == "session_meta" and word(line.payload.get("id")) != word(meta.get("id")):
                copying = True
            if (starts and line.ordinal < starts) or (copying and line.at - head[0].at < _COPY_NS):
                continue
            copying = False
        yield line


def _child(child: str, trace: str, parent: str, family: _Family, above: tuple[str, ...]) -> Iterator[Item]:
    path = family.paths[child]
    try:
        lines = _lines(path)
        first = next(lines, None)
        if not isinstance(first, Line):
            return
        agent = word(first.payload.get("agent_nickname")) or word(first.payload.get("agent_role")) or "subagent"
        thread = Thread(agent=agent, agent_id=child, turn=Turn(trace, 0, 0), parent=parent)
        yield from _run(thread, [first], lines, family, (*above, child))
    except (Foreign, TooMuch, OSError) as error:
        yield Skipped(where=path.name, reason=str(error))


def _lines(source: Source | Path) -> Iterator[Line | Skipped]:
    known = False
    held: list[Skipped] = []
    looked_at = 0
    if isinstance(source, Path):
        found = source.stat()
        source = Source(path=source, name=source.name, named=False, size=found.st_size, modified_ns=found.st_mtime_ns)
    with Opened(source) as opened:
        for line in opened.lines():
            if isinstance(line, Skipped):
                held.append(line)
                continue
            try:
                told = fields(parse(line[1]))
            except Unreadable as error:
                held.append(Skipped(where=f"line {line[0]}", reason=str(error)))
                continue
            looked_at += 1
            made = _line(told, first=looked_at == 1)
            known = known or (made is not None and made.kind in _TYPES)
            if not known:
                if looked_at >= _LOOKED_AT:
                    break
                continue
            yield from held
            held = []
            if made is not None:
                yield made
    if not known and looked_at:
        raise Foreign("no Codex rollout")
    yield from held


def _line(told: Mapping[str, Any], *, first: bool) -> Line | None:
    at, ordinal = moment_ns(told.get("timestamp")), count(told.get("ordinal"))
    kind = word(told.get("type"))
    if kind in _TYPES and isinstance(told.get("payload"), dict):
        return Line(kind, fields(told.get("payload")), at, ordinal)
    if kind in _ITEMS and "payload" not in told and "sessionId" not in told and "uuid" not in told:
        return Line("response_item", told, at, ordinal)
    if first and "id" in told and "timestamp" in told and "instructions" in told:
        return Line("session_meta", told, at, ordinal)
    return None


def _parent_of(meta: Mapping[str, Any]) -> str:
    spawned = fields(fields(fields(meta.get("source")).get("subagent")).get("thread_spawn"))
    return word(spawned.get("parent_thread_id")) or word(meta.get("parent_thread_id"))


@lru_cache(8)
def _family(folder: Path, _changed_ns: int) -> _Family:
    """The sub-agents among the rollouts of a folder, from their first lines."""
    family = _Family()
    parents: dict[str, str] = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                line = _line(fields(parse(file.readline(_HEAD_BYTES_MAX))), first=True)
        except (OSError, Unreadable):
            continue
        if line is None or line.kind != "session_meta" or not word(line.payload.get("id")):
            continue
        family.paths[word(line.payload.get("id"))] = path
        parents[word(line.payload.get("id"))] = _parent_of(line.payload)
    for child, parent in parents.items():
        if parent:
            family.children.setdefault(parent, []).append(child)
    return family
