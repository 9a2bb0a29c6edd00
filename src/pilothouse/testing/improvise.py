"""What the model does when no rule of its script applies.

It answers tool results, fills a requested schema, calls the offered tools that the user's words ask for, and says
something readable otherwise. It never calls a tool twice in a row, so an agent without a script always ends.
"""

import random
import re
from typing import Any

from pilothouse.testing.exchange import ModelRequest, ToolCall, ToolOffer
from pilothouse.testing.jsons import JsonObject, as_list, as_object, as_text, compact, objects
from pilothouse.testing.script import Reply

RESULT_CHARACTERS_MAX = 300
DEPTH_MAX = 8
CALLS_MAX = 4

_OPENINGS = (
    "Here is what I found.",
    "I looked into it.",
    "Short answer first.",
    "This is how it stands.",
    "Let me put it plainly.",
)
_BODIES = (
    "The figures agree with the last report, and nothing in them needs attention today.",
    "There are two ways to do it; the first is simpler, the second is easier to undo.",
    "The request is clear, and the usual steps apply without any exception.",
    "One part is still open, so I would check it before the next step.",
    "Everything needed is at hand, and the remaining work is small.",
)
_CLOSINGS = (
    "Tell me if you want the details.",
    "I can go on from here.",
    "The next step is yours.",
    "That should settle the question.",
)
_REASONINGS = (
    "The user wants a direct result, so I compare what is known with what is asked before answering.",
    "First I check which facts are given, then whether a tool is needed, and only then I write the answer.",
    "There are two readings of the question; the simpler one fits the rest of the conversation.",
)
# Words in tool names and descriptions that say nothing about what the user wants.
_EMPTY_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "by",
        "call",
        "can",
        "do",
        "for",
        "from",
        "get",
        "given",
        "has",
        "have",
        "in",
        "is",
        "it",
        "its",
        "look",
        "make",
        "of",
        "on",
        "one",
        "or",
        "returns",
        "return",
        "run",
        "set",
        "tell",
        "that",
        "the",
        "this",
        "to",
        "tool",
        "up",
        "use",
        "used",
        "what",
        "when",
        "where",
        "which",
        "will",
        "with",
        "you",
        "your",
    ]
)


def improvise(request: ModelRequest, rng: random.Random) -> Reply:
    """Return a sensible reply for a request that no rule matched."""
    reasoning = rng.choice(_REASONINGS) if request.reasoning else ""
    calls = _calls(request, rng)
    if calls:
        return Reply(calls=calls, reasoning=reasoning)
    if request.output_schema is not None:
        return Reply(text=compact(example(request.output_schema, request.last_user, rng)), reasoning=reasoning)
    if request.new_results:
        return Reply(text=_digest(request, rng), reasoning=reasoning)
    return Reply(text=" ".join(map(rng.choice, (_OPENINGS, _BODIES, _CLOSINGS))), reasoning=reasoning)


def example(schema: JsonObject, hint: str, rng: random.Random) -> Any:
    """Return a value that fits a JSON schema, taken from the words and numbers of the hint where it can."""
    return _example(schema, schema, "", hint, rng, DEPTH_MAX)


def _calls(request: ModelRequest, rng: random.Random) -> tuple[ToolCall, ...]:
    choice = request.tool_choice
    if not request.tools or choice == "none":
        return ()
    if choice.startswith("="):
        wanted = [tool for tool in request.tools if tool.name == choice[1:]]
    elif request.new_results:
        # Frameworks that force a tool for structured output add one by that purpose; after results it is the last.
        wanted = [request.tools[-1]] if choice == "required" else []
    else:
        wanted = _asked_for(request)
        if not wanted and choice == "required":
            wanted = [request.tools[-1]]
    limit = CALLS_MAX if request.parallel_calls else 1
    hint = request.last_user
    return tuple(
        ToolCall(name=tool.name, arguments=as_object(example(tool.parameters, hint, rng))) for tool in wanted[:limit]
    )


def _asked_for(request: ModelRequest) -> list[ToolOffer]:
    text = request.last_user.lower()
    words = set(_words(text))
    named = [tool for tool in request.tools if tool.name.lower() in text]
    return named or [tool for tool in request.tools if words & set(_words(tool.name))]


def _words(text: str) -> list[str]:
    split = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower().replace("_", " "))
    return [word for word in split if len(word) > 2 and word not in _EMPTY_WORDS]


def _digest(request: ModelRequest, rng: random.Random) -> str:
    parts: list[str] = []
    for result in request.new_results:
        text = " ".join(result.text.split())
        cut = text if len(text) <= RESULT_CHARACTERS_MAX else text[:RESULT_CHARACTERS_MAX] + " …"
        verb = "failed with" if result.error else "says"
        parts.append(f"{result.name or 'The tool'} {verb}: {cut}.")
    return " ".join([*parts, rng.choice(_CLOSINGS)])


def _example(schema: JsonObject, root: JsonObject, name: str, hint: str, rng: random.Random, depth: int) -> Any:
    if "const" in schema:
        return schema["const"]
    if "default" in schema and schema["default"] is not None:
        return schema["default"]
    options = as_list(schema.get("enum"))
    if options:
        return next((option for option in options if str(option).lower() in hint.lower()), options[0])
    inner = _resolved(schema, root)
    if inner is not None:
        return _example(inner, root, name, hint, rng, depth - 1) if depth > 0 else None
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kinds = [item for item in as_list(kind) if item != "null"]
        kind = kinds[0] if kinds else "null"
    kind = as_text(kind).lower()  # Gemini writes its types in capitals.
    if kind == "object":
        return _object(schema, root, hint, rng, depth)
    if kind == "array":
        count = max(int(schema.get("minItems", 1)), 1) if depth > 0 else 0
        items = as_object(schema.get("items"))
        return [_example(items, root, name, hint, rng, depth - 1) for _ in range(min(count, 100))]
    return _scalar(kind, schema, name, hint, rng)


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject | None:
    reference = as_text(schema.get("$ref"))
    if reference.startswith("#/"):
        target: JsonObject = root
        for step in reference[2:].split("/"):
            target = as_object(target.get(step))
        return target
    for key in ("anyOf", "oneOf", "allOf"):
        branches = [branch for branch in objects(schema.get(key)) if branch.get("type") != "null"]
        if branches:
            return branches[0]
    return None


def _object(schema: JsonObject, root: JsonObject, hint: str, rng: random.Random, depth: int) -> JsonObject:
    properties = as_object(schema.get("properties"))
    required = as_list(schema.get("required")) if "required" in schema else list(properties)
    if depth <= 0:
        return {}
    return {
        name: _example(as_object(properties.get(name)), root, name, hint, rng, depth - 1) for name in map(str, required)
    }


def _scalar(kind: str, schema: JsonObject, name: str, hint: str, rng: random.Random) -> Any:
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    if kind in ("integer", "number"):
        numbers = re.findall(r"-?\d+(?:\.\d+)?", hint)
        value = float(numbers[0]) if numbers else float(rng.randint(1, 9))
        value = max(value, float(schema.get("minimum", value)))
        value = min(value, float(schema.get("maximum", value)))
        return int(value) if kind == "integer" else value
    return _word(name, hint)


def _word(name: str, hint: str) -> str:
    quoted = re.findall(r"[\"'`“]([^\"'`”]{1,80})[\"'`”]", hint)
    if quoted:
        return quoted[0]
    if re.search(r"query|question|text|prompt|expression|task|input|message|body", name, re.IGNORECASE):
        return hint[:120]
    codes = re.findall(r"\b[A-Z]+-?\d+\b", hint)
    proper = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*", hint)
    return (codes or proper or [name or "value"])[0]
