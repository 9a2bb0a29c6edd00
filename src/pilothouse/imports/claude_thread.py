"""One thread of a Claude Code transcript: the main conversation, or that of a sub-agent, line by line.

Claude Code writes a line as each content block of an answer is complete, so one model call is the lines of one message
id, and results of tools may stand between them. Usage is repeated on each line and final on the last.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import names

from .reading import count, fields, items, moment_ns, number, word, words_of
from .said import Conversation, Part, Said, call_part, media_part, reasoning_part, result_part, said, text_part
from .trajectory import Item, Step, Tokens

AGENT = "claude-code"
DELEGATING = frozenset({"Task", "Agent"})
"""Tools that start a sub-agent; the name changed."""
_INTERRUPTED = "[Request interrupted by user"
_COMMANDS = ("<command-name>", "<command-message>", "<local-command", "<bash-")
"""What the user typed to the program rather than to the model begins so."""
_MILLISECOND = 1_000_000
_POSITIONS_MAX = 200_000


@dataclass(slots=True)
class Turn:
    """One prompt and all that was done for it: a trace."""

    trace: str
    request: str
    start_ns: int
    last_ns: int
    calls: int = 0
    answer: str = ""
    command: bool = False
    """True where nothing but a command to the program was typed."""
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Tool:
    """A tool call that waits for its result."""

    id: str
    name: str
    input: Any
    trace: str
    start_ns: int

    @property
    def step(self) -> str:
        return f"tool:{self.id}"


@dataclass(slots=True)
class _Open:
    """A model call whose blocks are still coming."""

    id: str
    input: tuple[Said, ...]
    start_ns: int
    end_ns: int
    model: str = ""
    stop: str = ""
    cost: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    parts: list[Part] = field(default_factory=list[Part])


class Thread:
    """A conversation between one agent and its model."""

    def __init__(self, *, agent: str = AGENT, agent_id: str = "", turn: Turn | None = None, parent: str = "") -> None:
        self.agent = agent
        self.agent_id = agent_id
        self.turn = turn
        """A sub-agent's only turn is given; the main thread begins one with every prompt."""
        self.sub = turn is not None
        self.parent = parent
        self.session = ""
        self.version = ""
        self.tools: dict[str, Tool] = {}
        """Calls without a result so far."""
        self._conversation = Conversation()
        self._open: _Open | None = None
        self._results: list[Said] = []
        self._positions: dict[str, tuple[int, int]] = {}
        self._epoch = 0
        self._compacted = False
        self._now_ns = 0

    @property
    def root(self) -> str:
        """The id of the agent's step."""
        return f"agent:{self.agent_id}" if self.agent_id else "agent"

    def take(self, line: Mapping[str, Any]) -> Iterator[Item]:
        """One line of this thread."""
        at = moment_ns(line.get("timestamp")) or self._now_ns + _MILLISECOND
        self.session = word(line.get("sessionId")) or self.session
        self.version = word(line.get("version")) or self.version
        match line.get("type"):
            case "assistant":
                yield from self._assistant(line, at)
            case "user":
                yield from self._user(line, at)
            case "system":
                yield from self._system(line, at)
            case _:
                return
        self._now_ns = max(self._now_ns, at)
        if self.turn is not None:
            self.turn.last_ns = max(self.turn.last_ns, at)
        if (own := word(line.get("uuid"))) and len(self._positions) < _POSITIONS_MAX:
            # An answer that is still open, and what came meanwhile, will be said when it is closed.
            coming = 1 + len(self._results) if self._open is not None else 0
            self._positions[own] = (self._epoch, len(self._conversation) + coming)

    def end(self) -> Iterator[Item]:
        """The end of the turn: what is open is closed, and the agent's own step comes."""
        yield from self._close()
        turn = self.turn
        if turn is None:
            return
        for tool in self.tools.values():
            yield self._tool_step(tool, tool.start_ns, "", attributes={names.IMPORTED_OPEN: True})
        self.tools = {}
        if not self.sub:
            self.turn = None
        if turn.command and not turn.calls:
            return
        yield Step(
            trace=turn.trace,
            id=self.root,
            parent=self.parent,
            kind="agent",
            start_ns=turn.start_ns,
            end_ns=turn.last_ns,
            agent=self.agent,
            agent_id=self.agent_id,
            agent_version=self.version,
            session=self.session,
            input_value=turn.request,
            output_value=turn.answer,
            attributes=turn.attributes,
        )

    # -- what the model said -----------------------------------------------------------------------------------------

    def _assistant(self, line: Mapping[str, Any], at: int) -> Iterator[Item]:
        message = fields(line.get("message"))
        turn = self._turn(line, at)
        blocks = items(message.get("content")) or [{"type": "text", "text": words_of(message.get("content"))}]
        if line.get("isApiErrorMessage") is True or message.get("model") == "<synthetic>":
            yield from self._close()
            text = " ".join(words_of(fields(block).get("text")) for block in blocks).strip()
            if line.get("isApiErrorMessage") is True:
                yield self._failed(f"error:{word(line.get('uuid')) or at}", at, text)
            return
        id = word(message.get("id")) or word(line.get("requestId")) or word(line.get("uuid")) or str(at)
        if self._open is None or self._open.id != id:
            yield from self._close()
            self._open = _Open(id=id, input=self._conversation.now(), start_ns=self._now_ns or at, end_ns=at)
            turn.calls += 1
        call = self._open
        call.end_ns = max(call.end_ns, at)
        call.model = word(message.get("model")) or call.model
        call.stop = word(message.get("stop_reason")) or call.stop
        call.cost = number(line.get("costUSD")) if call.cost is None else call.cost
        usage = fields(message.get("usage"))
        if count(usage.get("output_tokens")) >= count(call.usage.get("output_tokens")):
            call.usage = usage or call.usage
        for block in map(fields, blocks):
            part = _answer_part(block)
            if part is None:
                continue
            call.parts.append(part)
            if part["type"] == "tool_call" and block.get("type") == "tool_use":
                tool = Tool(word(block.get("id")), word(block.get("name")), block.get("input"), turn.trace, at)
                self.tools[tool.id] = tool
            elif part["type"] == "text":
                turn.answer = part["content"]

    def _close(self) -> Iterator[Item]:
        call, self._open = self._open, None
        if call is not None and self.turn is not None:
            answer = said("assistant", call.parts, finish_reason=call.stop)
            attributes: dict[str, Any] = {}
            if self._compacted:
                attributes["gen_ai.conversation.compacted"] = True
            if self._conversation.left_out:
                attributes[names.IMPORTED_LEFT_OUT] = self._conversation.left_out
            self._compacted = False
            yield Step(
                trace=self.turn.trace,
                id=f"call:{call.id}",
                parent=self.root,
                kind="model",
                start_ns=min(call.start_ns, call.end_ns),
                end_ns=call.end_ns,
                agent=self.agent,
                agent_id=self.agent_id,
                agent_version=self.version,
                session=self.session,
                model=call.model,
                provider="anthropic",
                response_id=call.id,
                finish_reason=call.stop,
                input=call.input,
                output=(answer,) if call.parts else (),
                tokens=_tokens(call.usage),
                cost_usd=call.cost,
                attributes=attributes,
            )
            if call.parts:
                self._conversation.add(said("assistant", call.parts))
        for result in self._results:
            self._conversation.add(result)
        self._results = []

    def _failed(self, id: str, at: int, text: str) -> Step:
        assert self.turn is not None
        return Step(
            trace=self.turn.trace,
            id=id,
            parent=self.root,
            kind="model",
            start_ns=self._now_ns or at,
            end_ns=at,
            agent=self.agent,
            agent_id=self.agent_id,
            session=self.session,
            provider="anthropic",
            input=self._conversation.now(),
            error=text or "the API failed",
            error_type="api_error",
        )

    # -- what it was told --------------------------------------------------------------------------------------------

    def _user(self, line: Mapping[str, Any], at: int) -> Iterator[Item]:
        content = fields(line.get("message")).get("content")
        blocks = [fields(block) for block in items(content)] if isinstance(content, list) else []
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for block in results:
            yield from self._result(block, line, at)
        rest = [block for block in blocks if block.get("type") != "tool_result"] or (
            [{"type": "text", "text": content}] if isinstance(content, str) else []
        )
        parts = [part for block in rest if (part := _user_part(block))]
        if not parts:
            return
        text = "\n".join(part["content"] for part in parts if part["type"] == "text")
        message = said("user", parts)
        aside = line.get("isMeta") is True or line.get("isCompactSummary") is True or bool(results)
        if text.startswith(_INTERRUPTED) and self.turn is not None:
            self.turn.attributes[names.STATE_REASON] = "interrupted by the user"
            aside = True
        if aside or self.sub:
            # The first line of a sub-agent is its task; what follows is said to it while it works.
            if self.sub and self.turn is not None and not self.turn.request:
                self.turn.request = text
            if self._open is not None:
                self._results.append(message)
            else:
                self._conversation.add(message)
            return
        yield from self.end()
        self._go_back(word(line.get("parentUuid")))
        self.turn = self._new_turn(line, text, at)
        self._now_ns = at
        self._conversation.add(message)

    def _new_turn(self, line: Mapping[str, Any], text: str, at: int) -> Turn:
        own = word(line.get("uuid")) or str(at)
        # A session that is resumed into another file repeats its lines: with the same ids they stay one trace.
        trace = own if _is_uuid(own) else f"{self.session}\0{own}"
        told = {"process.working_directory": line.get("cwd"), "vcs.ref.head.name": line.get("gitBranch")}
        attributes: dict[str, Any] = {name: word(value, 1_000) for name, value in told.items() if word(value)}
        command = text.startswith(_COMMANDS)
        return Turn(trace=trace, request=text, start_ns=at, last_ns=at, command=command, attributes=attributes)

    def _turn(self, line: Mapping[str, Any], at: int) -> Turn:
        """The turn there is; a transcript that begins in the middle has one without a prompt."""
        if self.turn is None:
            self.turn = self._new_turn(line, "", at)
        return self.turn

    def _go_back(self, parent: str) -> None:
        """A prompt that was edited goes on from an earlier line: what came after it was never said to the model."""
        epoch, length = self._positions.get(parent, (self._epoch, len(self._conversation)))
        if epoch == self._epoch:
            self._conversation.go_back(length)

    def _result(self, block: Mapping[str, Any], line: Mapping[str, Any], at: int) -> Iterator[Item]:
        id = word(block.get("tool_use_id"))
        text, media = _result_content(block.get("content"))
        failed = block.get("is_error") is True
        message = said("tool", [result_part(id, text, failed=failed), *media])
        if self._open is not None:
            self._results.append(message)
        else:
            self._conversation.add(message)
        tool = self.tools.pop(id, None)
        if tool is not None:
            told = fields(line.get("toolUseResult"))
            attributes: dict[str, Any] = {}
            if told.get("interrupted") is True:
                attributes[names.STATE_REASON] = "interrupted"
            yield self._tool_step(tool, at, text, failed=failed, attributes=attributes)

    def _tool_step(
        self, tool: Tool, at: int, text: str, *, failed: bool = False, attributes: Mapping[str, Any]
    ) -> Step:
        return Step(
            trace=tool.trace,
            id=tool.step,
            parent=self.root,
            kind="tool",
            start_ns=tool.start_ns,
            end_ns=max(at, tool.start_ns),
            agent=self.agent,
            agent_id=self.agent_id,
            agent_version=self.version,
            session=self.session,
            tool=tool.name,
            call_id=tool.id,
            input_value=words_of(tool.input),
            output_value=text,
            tool_error=(text or "the tool failed") if failed else "",
            attributes=attributes,
        )

    # -- what the program noted --------------------------------------------------------------------------------------

    def _system(self, line: Mapping[str, Any], at: int) -> Iterator[Item]:
        subtype = line.get("subtype")
        if subtype == "compact_boundary":
            yield from self._close()
            told = fields(line.get("compactMetadata"))
            if self.turn is not None:
                yield Step(
                    trace=self.turn.trace,
                    id=f"compact:{word(line.get('uuid')) or at}",
                    parent=self.root,
                    kind="other",
                    name="compact conversation",
                    start_ns=self._now_ns or at,
                    end_ns=at,
                    agent=self.agent,
                    agent_id=self.agent_id,
                    session=self.session,
                    input_value=f"{word(told.get('trigger'))} at {count(told.get('preTokens')):,} tokens",
                )
            self._conversation.clear()
            self._epoch += 1
            self._compacted = True
        elif subtype == "api_error" and self.turn is not None:
            yield from self._close()
            error = fields(line.get("error"))
            status, text = word(error.get("status")), words_of(error.get("message") or line.get("error"))
            step = self._failed(f"error:{word(line.get('uuid')) or at}", at, f"{status} {text}".strip())
            yield step


def _answer_part(block: Mapping[str, Any]) -> Part | None:
    kind = block.get("type")
    if kind == "text":
        text = words_of(block.get("text"))
        return text_part(text) if text else None
    if kind in ("thinking", "redacted_thinking"):
        text = words_of(block.get("thinking"))
        return reasoning_part(text) if text else None
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return call_part(word(block.get("id")), word(block.get("name")), block.get("input"))
    if isinstance(kind, str) and kind.endswith("_tool_result"):
        return result_part(word(block.get("tool_use_id")), words_of(block.get("content")))
    return None


def _user_part(block: Mapping[str, Any]) -> Part | None:
    kind = block.get("type")
    if kind == "text":
        text = words_of(block.get("text"))
        return text_part(text) if text else None
    return _media(block) if kind in ("image", "document") else None


def _media(block: Mapping[str, Any]) -> Part:
    place = fields(block.get("source"))
    modality = "image" if block.get("type") == "image" else "document"
    data = place.get("data")
    return media_part(
        modality,
        word(place.get("media_type")),
        data=data if isinstance(data, str) else "",
        uri=word(place.get("url"), 10_000) or word(place.get("file_id")),
    )


def _result_content(content: Any) -> tuple[str, list[Part]]:
    """The words of a result, and the images beside them."""
    if not isinstance(content, list):
        return words_of(content), []
    texts: list[str] = []
    media: list[Part] = []
    for block in map(fields, items(content)):
        if block.get("type") in ("image", "document"):
            media.append(_media(block))
        elif block:
            texts.append(words_of(block.get("text")) if block.get("type") == "text" else words_of(dict(block)))
    return "\n".join(texts), media


def _tokens(usage: Mapping[str, Any]) -> Tokens | None:
    """Anthropic's own numbers: cached tokens stand beside the input."""
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    by_life = fields(usage.get("cache_creation"))
    short, long = count(by_life.get("ephemeral_5m_input_tokens")), count(by_life.get("ephemeral_1h_input_tokens"))
    written = max(written, short + long)
    output = count(usage.get("output_tokens"))
    thought = count(fields(usage.get("output_tokens_details")).get("thinking_tokens"))
    found = Tokens(
        input=count(usage.get("input_tokens")) + read + written,
        cache_read=read,
        cache_write=written,
        cache_write_5m=short,
        cache_write_1h=long,
        output=output,
        reasoning=min(thought, output),
    )
    return found if found.input or found.output else None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
