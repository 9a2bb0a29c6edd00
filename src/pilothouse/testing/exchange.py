"""One model call without its wire format: what was asked, and what is answered."""

from dataclasses import dataclass, field
from typing import Literal

from pilothouse.testing.jsons import JsonObject
from pilothouse.testing.seeded import fingerprint

CHARACTERS_PER_TOKEN = 4


def tokens_of(characters: int) -> int:
    """Return the token count of so many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, kw_only=True)
class ToolOffer:
    """A tool the caller offers."""

    name: str
    description: str = ""
    parameters: JsonObject = field(default_factory=dict[str, object])
    """JSON schema of the arguments."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool, as the model makes it."""

    name: str
    arguments: JsonObject = field(default_factory=dict[str, object])
    call_id: str = ""
    """Empty in a script: the server invents one."""


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool returned, as the caller reports it."""

    call_id: str
    name: str
    """Empty when the wire format does not repeat it and no earlier call has this identifier."""
    text: str
    error: bool = False


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One message of the conversation."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A piece of the prompt in the order the model reads it; a prompt cache works on these."""

    text: str
    mark: Literal["", "5m", "1h"] = ""
    """Lifetime of the explicit cache breakpoint after this piece; empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What the caller asked, in the same words for every wire format."""

    wire: str
    model: str
    stream: bool
    system: str
    turns: tuple[Turn, ...]
    tools: tuple[ToolOffer, ...]
    segments: tuple[Segment, ...]
    tool_choice: str = "auto"
    """auto, none, required, or `=` and the name of the tool to call."""
    parallel_calls: bool = True
    output_schema: JsonObject | None = None
    """JSON schema the text must follow; None for free text."""
    output_tokens_max: int | None = None
    reasoning: bool = False
    """Whether the caller asked for reasoning, or the model always reasons."""
    explicit_cache: bool = False
    """Whether only marked prefixes are cached (Anthropic) rather than any long prefix."""
    stream_usage: bool = True
    """Whether the last piece of a stream carries the token counts."""
    call_id_prefix: str = "call_"
    body: JsonObject = field(default_factory=dict[str, object])

    @property
    def conversation(self) -> str:
        """Name of the conversation: calls with the same model, system text and first message belong together."""
        first = next((turn.text for turn in self.turns if turn.role == "user"), "")
        return fingerprint("\x1f".join((self.wire, self.model, self.system, first)))

    @property
    def content(self) -> str:
        """Everything the model reads, joined."""
        return "".join(segment.text for segment in self.segments)

    @property
    def last_user(self) -> str:
        """Text of the newest user message; empty when there is none."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def new_results(self) -> tuple[ToolResult, ...]:
        """Tool results nobody has answered yet; empty when the newest turn is not one."""
        fresh: list[ToolResult] = []
        for turn in reversed(self.turns):
            if turn.role != "tool":
                break
            fresh[:0] = turn.results
        return tuple(fresh)

    @property
    def user_turns(self) -> int:
        """How many user messages the conversation has."""
        return sum(turn.role == "user" for turn in self.turns)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Token counts; the parts are subsets of the totals, and every wire format writes them its own way."""

    input_tokens: int
    """The whole prompt, cached parts included."""
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int
    """Everything generated, reasoning included."""
    reasoning_tokens: int = 0

    @property
    def cache_write_tokens(self) -> int:
        """Input that was written to a cache, for whatever lifetime."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def uncached_tokens(self) -> int:
        """Input that was neither read from nor written to a cache."""
        return self.input_tokens - self.cache_read_tokens - self.cache_write_tokens


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says, in the same words for every wire format."""

    key: str
    """Letters and digits from which the wire formats make their identifiers."""
    model: str
    """The dated name a provider answers with."""
    text: str
    calls: tuple[ToolCall, ...]
    reasoning: str
    usage: Usage
    stop: Literal["stop", "tools", "length"]
    created_s: int


def pieces(text: str, size: int = 16) -> list[str]:
    """Cut a text into the deltas of a stream; an empty text has none."""
    return [text[start : start + size] for start in range(0, len(text), size)]
