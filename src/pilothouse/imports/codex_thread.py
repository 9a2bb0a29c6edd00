"""One thread of a Codex rollout, line by line: turns, model calls and tools.

A rollout holds what was sent and answered as items of OpenAI's Responses API, and between them the program's events. A
model call is the items up to the ``token_count`` that measures it; the outputs of its tools may come before that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.records import names

from .reading import Unreadable, count, fields, items, parse, word, words_of
from .said import Conversation, Part, call_part, media_part, reasoning_part, result_part, said, said_text, text_part
from .trajectory import Item, Step, Tokens

AGENT = "codex"
_MILLISECOND = 1_000_000
_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "web_search_call": "action",
    "tool_search_call": "arguments",
}
"""Items that ask for a tool, and where its arguments are."""
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output", "tool_search_output"})
_AROUND = ("<environment_context>", "<user_instructions>", "# AGENTS.md", "<permissions", "<INSTRUCTIONS>")
"""What the program says in the user's name begins so."""
_EXIT = re.compile(r"^(?:Exit code:|Process exited with code) (\d+)", re.MULTILINE)


@dataclass(slots=True)
class Turn:
    """One prompt and all that was done for it: a trace."""

    trace: str
    start_ns: int
    last_ns: int
    request: str = ""
    answer: str = ""
    error: str = ""
    calls: int = 0
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Tool:
    """A tool call that waits for its output."""

    id: str
    name: str
    input: str
    trace: str
    start_ns: int
    failed: str = ""

    @property
    def step(self) -> str:
        return f"tool:{self.id}"


class Thread:
    """A conversation between one agent and its model."""

    def __init__(self, *, agent: str = AGENT, agent_id: str = "", turn: Turn | None = None, parent: str = "") -> None:
        self.agent = agent
        self.agent_id = agent_id
        self.sub = turn is not None
        self.turn = turn
        self.parent = parent
        self.session = ""
        self.tools: dict[str, Tool] = {}
        self._version = ""
        self._provider = ""
        self._model = ""
        self._effort = ""
        self._conversation = Conversation()
        self._parts: list[Part] = []
        self._input: tuple[bytes, ...] = ()
        self._began_ns = 0
        self._made: Step | None = None
        """A call that is complete but for its usage."""
        self._measured = ""
        self._turns = 0
        self._number = 0
        self._now_ns = 0
        self._compacted = False
        self._results: list[bytes] = []

    @property
    def root(self) -> str:
        """The id of the agent's step."""
        return f"agent:{self.agent_id}" if self.agent_id else "agent"

    def take(self, kind: str, payload: Mapping[str, Any], at: int) -> Iterator[Item]:
        """One line of this thread."""
        at = at or self._now_ns + _MILLISECOND
        match kind:
            case "session_meta":
                self._meta(payload)
            case "turn_context":
                self._model = word(payload.get("model")) or self._model
                self._effort = word(payload.get("effort")) or self._effort
            case "response_item":
                yield from self._item(payload, at)
            case "event_msg":
                yield from self._event(payload, at)
            case "compacted":
                yield from self._compact(payload, at)
            case _:
                return
        self._now_ns = max(self._now_ns, at)
        if self.turn is not None:
            self.turn.start_ns = self.turn.start_ns or at
            self.turn.last_ns = max(self.turn.last_ns, at)

    def end(self) -> Iterator[Item]:
        """The end of the turn: what is open is closed, and the agent's own step comes."""
        yield from self._close(self._now_ns)
        yield from self._emit()
        turn = self.turn
        if turn is None:
            return
        for tool in self.tools.values():
            yield self._tool_step(tool, tool.start_ns, "", open=True)
        self.tools = {}
        if not self.sub:
            self.turn = None
        if not turn.request and not turn.calls:
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
            agent_version=self._version,
            session=self.session,
            input_value=turn.request,
            output_value=turn.answer,
            error=turn.error,
            attributes=turn.attributes,
        )

    def _meta(self, payload: Mapping[str, Any]) -> None:
        if self.session:
            return
        self.session = word(payload.get("id")) or word(payload.get("session_id"))
        self._version = word(payload.get("cli_version"))
        self._provider = word(payload.get("model_provider"))
        told = payload.get("base_instructions") or payload.get("instructions")
        text = words_of(fields(told).get("text") if isinstance(told, dict) else told)
        if text:
            self._conversation.add(said_text("system", text))

    # -- turns -------------------------------------------------------------------------------------------------------

    def _begin(self, at: int) -> Iterator[Item]:
        if self.sub:
            return
        yield from self.end()
        self._turns += 1
        self.turn = Turn(f"{self.session}\0{self._turns}", at, at)

    def _current(self, at: int) -> Turn:
        if self.turn is None:
            self._turns += 1
            self.turn = Turn(f"{self.session}\0{self._turns}", at, at)
        return self.turn

    def _event(self, payload: Mapping[str, Any], at: int) -> Iterator[Item]:
        match payload.get("type"):
            case "task_started" | "turn_started":
                yield from self._begin(at)
            case "user_message":
                # Older versions do not say when a turn begins.
                if self.turn is not None and self.turn.calls and self.turn.request:
                    yield from self._begin(at)
                turn = self._current(at)
                turn.request = turn.request or words_of(payload.get("message")).strip()
            case "token_count":
                self._measure(fields(payload.get("info")), at)
            case "task_complete" | "turn_complete":
                if self.turn is not None and not self.turn.answer:
                    self.turn.answer = words_of(payload.get("last_agent_message"))
            case "turn_aborted":
                self._current(at).attributes[names.STATE_REASON] = word(payload.get("reason")) or "aborted"
            case "error" | "stream_error":
                if payload.get("type") == "error":
                    self._current(at).error = words_of(payload.get("message")) or "error"
            case "exec_command_end" | "patch_apply_end" | "mcp_tool_call_end":
                self._ended(payload)
            case _:
                return

    def _ended(self, payload: Mapping[str, Any]) -> None:
        tool = self.tools.get(word(payload.get("call_id")))
        if tool is None:
            return
        code = payload.get("exit_code")
        if isinstance(code, int) and code:
            tool.failed = f"exit code {code}"
        elif payload.get("success") is False:
            tool.failed = words_of(payload.get("stderr")) or "failed"
        elif "Err" in fields(payload.get("result")):
            tool.failed = words_of(fields(payload.get("result")).get("Err"))

    # -- what was said -----------------------------------------------------------------------------------------------

    def _item(self, item: Mapping[str, Any], at: int) -> Iterator[Item]:
        kind = word(item.get("type"))
        if kind == "message" and item.get("role") != "assistant":
            yield from self._close(at)
            parts = _parts(item.get("content"))
            role = word(item.get("role"))
            role = "system" if role in ("system", "developer") else "user"
            if parts:
                self._conversation.add(said(role, parts))
            text = "\n".join(part["content"] for part in parts if part["type"] == "text").strip()
            if role == "user" and text and not text.startswith(_AROUND):
                turn = self._current(at)
                turn.request = turn.request or text
            return
        if kind in _OUTPUTS:
            yield from self._output(item, at)
            return
        parts = self._answer(item, at)
        if not parts:
            return
        if not self._parts:
            yield from self._emit()
            self._input = self._conversation.now()
            self._began_ns = self._now_ns or at
            self._current(at).calls += 1
        self._parts += parts

    def _answer(self, item: Mapping[str, Any], at: int) -> list[Part]:
        kind = word(item.get("type"))
        if kind == "message":
            parts = _parts(item.get("content"))
            text = "\n".join(part["content"] for part in parts if part["type"] == "text")
            turn = self._current(at)
            turn.answer = text or turn.answer
            return parts
        if kind == "reasoning":
            pieces = [*items(item.get("summary")), *items(item.get("content"))]
            text = "\n".join(words for piece in pieces if (words := words_of(fields(piece).get("text"))))
            return [reasoning_part(text)] if text else []
        if kind not in _CALLS:
            return []
        given = item.get(_CALLS[kind])
        name = word(item.get("name")) or kind.removesuffix("_call")
        if item.get("namespace"):
            name = f"{word(item.get('namespace'))}{name}"
        id = word(item.get("call_id")) or word(item.get("id")) or f"{self._turns}-{at}"
        arguments = words_of(given)
        self.tools[id] = Tool(id, name, arguments, self._current(at).trace, at)
        return [call_part(id, name, _structure(given))]

    def _output(self, item: Mapping[str, Any], at: int) -> Iterator[Item]:
        yield from self._close(at)
        id = word(item.get("call_id"))
        text, failed = _result(item.get("output"))
        tool = self.tools.pop(id, None)
        failed = failed or (tool.failed if tool is not None else "")
        self._conversation.add(said("tool", [result_part(id, text, failed=bool(failed))]))
        if tool is not None:
            tool.failed = failed
            yield self._tool_step(tool, at, text)

    def _close(self, at: int) -> Iterator[Item]:
        """The answer is complete; its usage may still come."""
        parts, self._parts = self._parts, []
        if not parts:
            return
        turn = self._current(at)
        self._number += 1
        answer = said("assistant", parts)
        attributes: dict[str, Any] = {"gen_ai.request.reasoning.level": self._effort} if self._effort else {}
        if self._compacted:
            attributes["gen_ai.conversation.compacted"] = True
            self._compacted = False
        if self._conversation.left_out:
            attributes[names.IMPORTED_LEFT_OUT] = self._conversation.left_out
        self._made = Step(
            trace=turn.trace,
            id=f"{self.root}:call:{self._number}",
            parent=self.root,
            kind="model",
            start_ns=min(self._began_ns, self._now_ns),
            end_ns=max(self._now_ns, self._began_ns),
            agent=self.agent,
            agent_id=self.agent_id,
            agent_version=self._version,
            session=self.session,
            model=self._model,
            provider=self._provider,
            input=self._input,
            output=(answer,),
            attributes=attributes,
        )
        self._conversation.add(answer)
        yield from ()

    def _emit(self) -> Iterator[Item]:
        made, self._made = self._made, None
        if made is not None:
            yield made

    def _measure(self, info: Mapping[str, Any], at: int) -> None:
        """Usage of the newest call. The program repeats it, for instance when only limits changed."""
        if not info:
            return
        total = repr(info.get("total_token_usage"))
        if total == self._measured and info.get("total_token_usage"):
            return
        self._measured = total
        for _ in self._close(at):
            pass
        if self._made is not None and self._made.tokens is None:
            self._made = replace(self._made, tokens=_tokens(fields(info.get("last_token_usage"))))

    def _compact(self, payload: Mapping[str, Any], at: int) -> Iterator[Item]:
        yield from self._close(at)
        turn = self._current(at)
        self._number += 1
        message = words_of(payload.get("message"))
        yield Step(
            trace=turn.trace,
            id=f"{self.root}:compact:{self._number}",
            parent=self.root,
            kind="other",
            name="compact conversation",
            start_ns=self._now_ns or at,
            end_ns=at,
            agent=self.agent,
            agent_id=self.agent_id,
            session=self.session,
            output_value=message,
        )
        self._conversation.clear()
        self._compacted = True
        for item in map(fields, items(payload.get("replacement_history"))):
            parts = _parts(item.get("content"))
            if parts:
                self._conversation.add(said(word(item.get("role")) or "user", parts))
        if message:
            self._conversation.add(said_text("user", message))

    def _tool_step(self, tool: Tool, at: int, text: str, *, open: bool = False) -> Step:
        return Step(
            trace=tool.trace,
            id=tool.step,
            parent=self.root,
            kind="tool",
            start_ns=tool.start_ns,
            end_ns=max(at, tool.start_ns),
            agent=self.agent,
            agent_id=self.agent_id,
            agent_version=self._version,
            session=self.session,
            tool=tool.name,
            call_id=tool.id,
            input_value=tool.input,
            output_value=text,
            tool_error=tool.failed,
            attributes={names.IMPORTED_OPEN: True} if open else {},
        )


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    found: list[Part] = []
    for piece in map(fields, items(content)):
        if text := words_of(piece.get("text")):
            found.append(text_part(text))
        elif piece.get("type") in ("input_image", "image"):
            found.append(_image(piece))
    return found


def _image(piece: Mapping[str, Any]) -> Part:
    url = piece.get("image_url")
    url = url if isinstance(url, str) else words_of(fields(url).get("url"))
    if url.startswith("data:"):
        mime, _, data = url[5:].partition(";base64,")
        return media_part("image", mime[:100], data=data)
    return media_part("image", "", uri=url)


def _structure(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return parse(value)
        except Unreadable:
            return value
    return value


def _result(output: Any) -> tuple[str, str]:
    """The words of an output, and why the tool failed where it did."""
    told = fields(output)
    if isinstance(output, str) and output[:1] == "{" and '"output"' in output:
        told = fields(_structure(output))
    failed = ""
    if told:
        code = fields(told.get("metadata")).get("exit_code")
        text = words_of(told.get("output", told.get("content")))
        if (isinstance(code, int) and code) or told.get("success") is False:
            failed = f"exit code {code}" if code else text or "failed"
        return text or words_of(output), failed
    if isinstance(output, list):
        pieces = [words_of(fields(piece).get("text")) for piece in items(output)]
        text = "\n".join(piece for piece in pieces if piece)
    else:
        text = words_of(output)
    code = _EXIT.search(text[:2_000])
    return text, f"exit code {code[1]}" if code and int(code[1]) else ""


def _tokens(usage: Mapping[str, Any]) -> Tokens | None:
    """OpenAI's numbers: cached tokens are part of the input, reasoning is part of the output."""
    found = Tokens(
        input=count(usage.get("input_tokens")),
        cache_read=count(usage.get("cached_input_tokens")),
        cache_write=count(usage.get("cache_write_input_tokens")),
        output=count(usage.get("output_tokens")),
        reasoning=count(usage.get("reasoning_output_tokens")),
    )
    return found if found.input or found.output else None
