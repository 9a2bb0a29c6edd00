"""A script: plain data that says how the scripted model answers.

A script is a list of rules. The first rule whose every condition holds answers; when none does, the model improvises
(`improvise.py`). The same script can be written as JSON, see `Script.from_data`.
"""

import fnmatch
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from pilothouse.testing.exchange import ModelRequest, ToolCall, Usage
from pilothouse.testing.jsons import JsonObject, as_object, objects


class ScriptError(ValueError):
    """A script says something the model server cannot play."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A failure in place of an answer, or in the middle of one."""

    status: int = 500
    """HTTP status: 429 for a rate limit, 500, 503, 529 for an overloaded provider."""
    message: str = ""
    """Text of the error; empty for the provider's usual one."""
    retry_after_s: float | None = None
    """Value of the Retry-After header; None sends none."""
    after_pieces: int | None = None
    """Let a stream begin, and break it after so many pieces; None fails before the first byte."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long the model takes. The default is no time at all."""

    median_s: float = 0.0
    """Median time to the first byte, in seconds."""
    spread: float = 0.0
    """Sigma of the log-normal distribution around the median; 0.5 gives a p99 of some three times the median."""
    piece_s: float = 0.0
    """Pause between two pieces of a stream, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model does. In `text`, `{user}` and `{result}` stand for the last user text and tool result.

    In `text` and in texts of the calls' arguments, `{match}` stands for what the rule's `seen` found, `{match2}` for its
    second group, and so on.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    reasoning_tokens: int | None = None
    """None counts the reasoning text."""
    usage: Usage | None = None
    """None counts characters; set it where a test needs exact numbers."""
    fault: Fault | None = None
    latency: Latency | None = None
    """None takes the script's."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When to give a reply. Patterns are regular expressions, searched without regard to case."""

    reply: Reply
    model: str | None = None
    """Shell pattern of the model's name, such as `gpt-4o*`."""
    wire: str | None = None
    """Shell pattern of the wire format: openai-chat, openai-responses, anthropic-messages or gemini."""
    system: str | None = None
    """Pattern in the system text."""
    user: str | None = None
    """Pattern in the newest user message."""
    result: str | None = None
    """Pattern in a tool result that waits for an answer."""
    after_tool: str | None = None
    """Shell pattern of the name of a tool whose result waits for an answer; an empty text means no result waits."""
    seen: str | None = None
    """Pattern in everything the model reads. Its last match counts: the first group, or all of it, is `{match}` in the reply."""
    turn: int | None = None
    """Number of user messages so far, from 1."""
    skip: int = 0
    """How many matches to let pass first, counted in each conversation."""
    times: int | None = None
    """How many matches to answer after that, counted in each conversation; None answers all of them."""

    def matches(self, request: ModelRequest) -> bool:
        """Tell whether every condition holds, `skip` and `times` left aside."""
        waiting = request.new_results
        return (
            _like(self.model, request.model)
            and _like(self.wire, request.wire)
            and _found(self.system, request.system)
            and _found(self.user, request.last_user)
            and (self.turn is None or self.turn == request.user_turns)
            and (self.result is None or any(_found(self.result, result.text) for result in waiting))
            and (self.seen is None or self.found(request) is not None)
            and self._follows_tool(request)
        )

    def found(self, request: ModelRequest) -> tuple[str, ...] | None:
        """The groups of what `seen` finds last in a request, or all of it; None where it finds nothing or is not set."""
        compiled = _compiled(self.seen)
        matches = list(compiled.finditer(request.content)) if compiled is not None else []
        if not matches:
            return None
        return tuple(group or "" for group in matches[-1].groups()) or (matches[-1][0],)

    def _follows_tool(self, request: ModelRequest) -> bool:
        if self.after_tool is None:
            return True
        waiting = request.new_results
        if self.after_tool == "":
            return not waiting
        return any(fnmatch.fnmatchcase(result.name, self.after_tool) for result in waiting)


DATED_MODELS: Mapping[str, str] = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5.2": "gpt-5.2-2025-12-11",
    "o4-mini": "o4-mini-2025-04-16",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-sonnet-4-6": "claude-sonnet-4-6",
    "gemini-2.5-flash": "gemini-2.5-flash",
}


@dataclass(frozen=True, kw_only=True)
class Script:
    """Rules in order of precedence, and what holds for all of them."""

    rules: tuple[Rule, ...] = ()
    latency: Latency = field(default_factory=Latency)
    latencies: Mapping[str, Latency] = field(default_factory=dict[str, Latency])
    """Latency of the models whose name fits a shell pattern; the first that fits comes before the general one."""
    models: Mapping[str, str] = field(default_factory=lambda: DATED_MODELS)
    """Requested name to answered name, since providers answer with a dated one; other names are repeated."""
    cache_tokens_min: int = 1024
    """Shortest prefix that a prompt cache keeps, in tokens; 1,024 is what the large providers use."""

    def latency_of(self, model: str) -> Latency:
        """Return how long a model takes where its reply does not say."""
        fitting = (latency for pattern, latency in self.latencies.items() if fnmatch.fnmatchcase(model, pattern))
        return next(fitting, self.latency)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Script":
        """Build a script from what `json.load` returns; the keys are the field names of these classes."""
        values = _known(cls, data)
        if "rules" in values:
            values["rules"] = tuple(_rule(rule) for rule in objects(values["rules"]))
        if "latency" in values:
            values["latency"] = Latency(**_known(Latency, as_object(values["latency"])))
        if "latencies" in values:
            given = as_object(values["latencies"])
            values["latencies"] = {name: Latency(**_known(Latency, as_object(item))) for name, item in given.items()}
        return cls(**values)

    @classmethod
    def from_file(cls, path: Path) -> "Script":
        """Read a script from a JSON file."""
        try:
            data = as_object(json.loads(path.read_text("utf-8")))
        except ValueError as error:
            raise ScriptError(f"{path} is not JSON; write an object with the key rules") from error
        return cls.from_data(data)


def _rule(data: JsonObject) -> Rule:
    values = _known(Rule, data)
    reply = _known(Reply, as_object(values["reply"]))
    if "calls" in reply:
        reply["calls"] = tuple(ToolCall(**_known(ToolCall, call)) for call in objects(reply["calls"]))
    for name, kind in (("usage", Usage), ("fault", Fault), ("latency", Latency)):
        if reply.get(name) is not None:
            reply[name] = kind(**_known(kind, as_object(reply[name])))
    values["reply"] = Reply(**reply)
    for name in ("system", "user", "result", "seen"):
        _compiled(values.get(name))
    return Rule(**values)


def _known(kind: type, data: Mapping[str, Any]) -> JsonObject:
    allowed = {item.name for item in fields(kind)}
    unknown = sorted(set(data) - allowed)
    if unknown:
        raise ScriptError(f"{kind.__name__} has no field {unknown[0]}; it has {', '.join(sorted(allowed))}")
    needed = {item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING}
    missing = sorted(needed - set(data))
    if missing:
        raise ScriptError(f"{kind.__name__} needs the field {missing[0]}, got {dict(data)}")
    return dict(data)


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern, re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise ScriptError(f"{pattern!r} is not a regular expression; escape it with re.escape") from error


def _found(pattern: str | None, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


def _like(pattern: str | None, name: str) -> bool:
    return pattern is None or fnmatch.fnmatchcase(name, pattern)
