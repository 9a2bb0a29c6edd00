"""Claude Code transcripts: the JSON lines it writes below ``~/.claude/projects``, sub-agents included.

There is no published schema. The shapes are those of Claude Code 1.0 to 2.1: lines of type ``user``, ``assistant`` and
``system`` with Anthropic's Messages API within (docs.claude.com, "Messages"), ``isSidechain`` for sub-agents written
into the same file, ``SESSION/subagents/agent-ID.jsonl`` or ``agent-ID.jsonl`` beside it for those with a file of their
own, ``compact_boundary`` where the conversation was summarised. Lines of other types are the program's bookkeeping.

A prompt and all that is done for it is a trace, the transcript is their session. Neither the system prompt nor the
definitions of tools are in a transcript.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .claude_thread import DELEGATING, Thread, Turn
from .reading import Unreadable, fields, items, parse, word, words_of
from .sources import Opened, Source, TooMuch
from .trajectory import Foreign, Item, Skipped

_TYPES = frozenset({"user", "assistant", "system", "summary"})
_LOOKED_AT = 50
"""Lines within which a transcript shows itself as one."""
_META_BYTES_MAX = 64 << 10
_AGENTS_MAX = 10_000
_TASKS_MAX = 20_000


def read(source: Source) -> Iterator[Item]:
    """The turns of a transcript, with those of its sub-agents."""
    if source.path.name.startswith("agent-"):
        if not source.named and _has_parent(source.path):
            return
        yield from _lone_agent(source)
        return
    yield from _Transcript(source).read()


def _lines(source: Source | Path, *, sure: bool = False) -> Iterator[Mapping[str, Any] | Skipped]:
    """The lines as objects. Unless it is known to be a transcript, something else is :class:`Foreign`."""
    looked_at = 0
    held: list[Skipped] = []
    with Opened(source if isinstance(source, Source) else _as_source(source)) as opened:
        for line in opened.lines():
            if isinstance(line, Skipped):
                held.append(line)
            else:
                try:
                    told = fields(parse(line[1]))
                except Unreadable as error:
                    held.append(Skipped(where=f"line {line[0]}", reason=str(error)))
                else:
                    sure = sure or _is_line(told)
                    looked_at += 1
                    if sure:
                        yield from held
                        held = []
                        yield told
                    elif looked_at > _LOOKED_AT:
                        raise Foreign("no Claude Code transcript")
            if sure:
                yield from held
                held = []
        if not sure and looked_at:
            raise Foreign("no Claude Code transcript")
        yield from held


def _is_line(told: Mapping[str, Any]) -> bool:
    return word(told.get("type")) in _TYPES and any(key in told for key in ("sessionId", "uuid", "message", "leafUuid"))


def _as_source(path: Path) -> Source:
    found = path.stat()
    return Source(path=path, name=path.name, named=False, size=found.st_size, modified_ns=found.st_mtime_ns)


def _has_parent(path: Path) -> bool:
    """Whether the transcript that started this agent is there to be read with it."""
    if path.parent.name == "subagents" or "subagents" in path.parent.parts:
        above = next((place for place in path.parents if place.name == "subagents"), None)
        return above is not None and above.parent.with_suffix(".jsonl").is_file()
    try:
        for line in _lines(path):
            if not isinstance(line, Skipped) and (session := word(line.get("sessionId"))):
                return "/" not in session and (path.parent / f"{session}.jsonl").is_file()
    except (Foreign, TooMuch, OSError, ValueError):
        pass
    return False


def _lone_agent(source: Source) -> Iterator[Item]:
    """A sub-agent whose transcript is not there: a trace of its own."""
    thread: Thread | None = None
    for line in _lines(source):
        if isinstance(line, Skipped):
            yield line
            continue
        if thread is None:
            agent = word(line.get("agentId")) or source.stem.removeprefix("agent-")
            trace = f"{word(line.get('sessionId'))}\0agent\0{agent}"
            thread = Thread(agent=_meta(source.path)[0] or "subagent", turn=Turn(trace, "", 0, 0))
        yield from _fed(thread, line)
    if thread is not None:
        yield from thread.end()


def _fed(thread: Thread, line: Mapping[str, Any]) -> Iterator[Item]:
    """What a sub-agent's line gives; its turn begins with its first."""
    yield from thread.take(line)
    turn = thread.turn
    if turn is not None and not turn.start_ns:
        turn.start_ns = turn.last_ns


def _meta(path: Path) -> tuple[str, str]:
    """The type of an agent and the tool call that started it, from the file beside its transcript."""
    try:
        beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".jsonl") + ".meta.json")
        with beside.open("rb") as file:
            told = fields(parse(file.read(_META_BYTES_MAX)))
    except (OSError, Unreadable, ValueError):
        return "", ""
    return word(told.get("agentType")), word(told.get("toolUseId"))


@dataclass(slots=True)
class _Task:
    """A call that started a sub-agent."""

    turn: Turn
    step: str
    prompt: str
    agent: str


@dataclass(slots=True)
class _Side:
    """A sub-agent that is written into the main file."""

    thread: Thread
    task: str = ""


@dataclass(slots=True)
class _Transcript:
    """A main file while it is read, and the agents that belong to it."""

    source: Source
    main: Thread = field(default_factory=Thread)
    tasks: dict[str, _Task] = field(default_factory=dict[str, _Task])
    """Calls that started agents, by the call's id."""
    files: dict[str, Path] = field(default_factory=dict[str, Path])
    """Transcripts of sub-agents not yet read, by the agent's id."""
    sides: dict[str, _Side] = field(default_factory=dict[str, _Side])
    """Sub-agents in this file, by the ids of their lines."""
    last_turn: Turn | None = None

    def read(self) -> Iterator[Item]:
        self._find_agents()
        for line in _lines(self.source):
            if isinstance(line, Skipped):
                yield line
            elif line.get("isSidechain") is True:
                yield from self._side(line)
            else:
                yield from self._line(self.main, line)
        yield from self._finish_sides(None)
        yield from self.main.end()
        for agent_id in sorted(self.files):
            yield from self._orphan(agent_id)

    def _line(self, thread: Thread, line: Mapping[str, Any]) -> Iterator[Item]:
        """A line, and where it ends the call of an agent, all of that agent."""
        before = thread.turn
        if thread is self.main and line.get("type") == "user" and line.get("isMeta") is not True:
            content = fields(line.get("message")).get("content")
            if isinstance(content, str) or not any(fields(b).get("type") == "tool_result" for b in items(content)):
                yield from self._finish_sides(None)
        yield from _fed(thread, line) if thread.sub else thread.take(line)
        turn = thread.turn or before
        if thread is self.main:
            self.last_turn = turn or self.last_turn
        if turn is None:
            return
        for tool in list(thread.tools.values()):
            if tool.name in DELEGATING and tool.id not in self.tasks and len(self.tasks) < _TASKS_MAX:
                told = fields(tool.input)
                agent = word(told.get("subagent_type"))
                self.tasks[tool.id] = _Task(turn, tool.step, words_of(told.get("prompt")), agent)
        for block in map(fields, items(fields(line.get("message")).get("content"))):
            if block.get("type") == "tool_result":
                id = word(block.get("tool_use_id"))
                yield from self._finish_sides(id)
                agent_id = word(fields(line.get("toolUseResult")).get("agentId"))
                if agent_id in self.files and id in self.tasks:
                    yield from self._agent(agent_id, self.tasks[id])

    # -- agents with files of their own ------------------------------------------------------------------------------

    def _find_agents(self) -> None:
        path = self.source.path
        stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
        places = [*(path.parent / stem / "subagents").rglob("agent-*.jsonl*"), *path.parent.glob("agent-*.jsonl*")]
        for place in sorted(places)[:_AGENTS_MAX]:
            if not place.is_file() or ".meta" in place.name:
                continue
            if place.parent == path.parent and not self._is_ours(place, stem):
                continue
            self.files[place.name.removesuffix(".gz").removesuffix(".jsonl").removeprefix("agent-")] = place

    def _is_ours(self, path: Path, session: str) -> bool:
        try:
            for line in _lines(path):
                if not isinstance(line, Skipped) and "sessionId" in line:
                    return word(line.get("sessionId")) == session
        except (Foreign, TooMuch, OSError):
            pass
        return False

    def _agent(self, agent_id: str, task: _Task) -> Iterator[Item]:
        path = self.files.pop(agent_id)
        name = _meta(path)[0] or task.agent or "subagent"
        thread = Thread(agent=name, agent_id=agent_id, turn=Turn(task.turn.trace, "", 0, 0), parent=task.step)
        try:
            for line in _lines(path, sure=True):
                if isinstance(line, Skipped):
                    yield Skipped(where=f"{path.name} {line.where}", reason=line.reason)
                else:
                    yield from self._line(thread, line)
        except (TooMuch, OSError) as error:
            yield Skipped(where=path.name, reason=str(error))
        yield from thread.end()

    def _orphan(self, agent_id: str) -> Iterator[Item]:
        """An agent that no result names: it still runs, or ran in the background."""
        path = self.files.get(agent_id)
        if path is None:
            return
        task = self.tasks.get(_meta(path)[1]) or self._by_prompt(_first_words(path))
        if task is None and self.last_turn is not None:
            task = _Task(self.last_turn, self.main.root, "", "")
        if task is not None:
            yield from self._agent(agent_id, task)

    def _by_prompt(self, prompt: str) -> _Task | None:
        return next((task for task in self.tasks.values() if prompt and task.prompt == prompt), None)

    # -- agents in the same file -------------------------------------------------------------------------------------

    def _side(self, line: Mapping[str, Any]) -> Iterator[Item]:
        side = self.sides.get(word(line.get("parentUuid")))
        if side is None:
            side = self._new_side(line)
        if side is None:
            return
        if own := word(line.get("uuid")):
            self.sides[own] = side
        yield from self._line(side.thread, line)

    def _new_side(self, line: Mapping[str, Any]) -> _Side | None:
        prompt = words_of(fields(line.get("message")).get("content"))
        waiting = [id for id in self.main.tools if id in self.tasks]
        id = next((id for id in waiting if self.tasks[id].prompt == prompt), "") or (waiting[-1] if waiting else "")
        turn = self.tasks[id].turn if id else self.main.turn
        if turn is None:
            return None
        agent_id = word(line.get("agentId")) or f"side-{word(line.get('uuid'))}"
        self.files.pop(agent_id, None)
        thread = Thread(
            agent=(self.tasks[id].agent if id else "") or "subagent",
            agent_id=agent_id,
            turn=Turn(turn.trace, "", 0, 0),
            parent=self.tasks[id].step if id else self.main.root,
        )
        return _Side(thread, id)

    def _finish_sides(self, task: str | None) -> Iterator[Item]:
        """The agents of a call that has its result; with None, all."""
        done = {id(side): side for side in self.sides.values() if task is None or side.task == task}
        if not done:
            return
        self.sides = {key: side for key, side in self.sides.items() if id(side) not in done}
        for side in done.values():
            yield from side.thread.end()


def _first_words(path: Path) -> str:
    try:
        for line in _lines(path, sure=True):
            if not isinstance(line, Skipped) and line.get("type") == "user":
                return words_of(fields(line.get("message")).get("content"))
    except (TooMuch, OSError):
        pass
    return ""
