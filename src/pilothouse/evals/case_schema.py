"""The JSON Schema of a case, for editors and for whoever writes cases by program."""

from __future__ import annotations

from typing import Any, Final

from .case import DIFFICULTIES, KINDS, REPLAYS, SEVERITIES
from .case_text import REPEATS_MAX
from .checks import CHECK_KINDS, CHECK_OPTIONS
from .code_checks import LEVELS
from .matching import MODES

ID: Final = "https://pilothouse.dev/schemas/case.json"
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_ANY: Final[dict[str, Any]] = {}
_WANTED: Final[dict[str, Any]] = {
    "tool": {"type": "string", "minLength": 1},
    "no_tool": {"type": "string", "minLength": 1, "description": "* for any tool"},
    "tools": _TEXTS,
    "text": _ANY,
    "contains": {"anyOf": [_TEXT, _TEXTS]},
    "contains_any": _TEXTS,
    "excludes": {"anyOf": [_TEXT, _TEXTS]},
    "number": {"type": ["number", "string"]},
    "output": _ANY,
    "label": {"type": "string", "minLength": 1},
    "at_most": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            name: {"type": "number", "minimum": 0}
            for name in ("model_calls", "tool_calls", "tokens", "cost_usd", "duration_s")
        },
    },
    "no_error": {"const": True},
    "code": {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"},
}
_OPTION: Final[dict[str, Any]] = {
    "arguments": _ANY,
    "mode": {"enum": list(MODES)},
    "times": {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2},
        ]
    },
    "first": {"type": "boolean"},
    "order": {"enum": ["exact", "in_order", "any"]},
    "extra": {"enum": ["allow", "forbid"]},
    "within": {"type": ["number", "string"]},
    "within_share": {"type": ["number", "string"]},
    "of": _TEXTS,
    "at_least": {"type": "number"},
    "level": {"enum": list(LEVELS)},
}


def case_schema() -> dict[str, Any]:
    """The schema of a case file, JSON Schema 2020-12."""
    message = {
        "type": "object",
        "required": ["role"],
        "properties": {"role": {"enum": ["system", "developer", "user", "assistant", "tool"]}},
    }
    file = {"type": "object", "required": ["$file"], "additionalProperties": False, "properties": {"$file": _TEXT}}
    messages = {"anyOf": [{"type": "array", "items": message, "minItems": 1}, file]}
    call = _object(
        {"name": {"type": "string", "minLength": 1}, "arguments": _ANY, "result": _ANY, "error": _TEXT}, ["name"]
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "A case of a Pilothouse suite",
        **_object(
            {
                "id": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9._-]{0,118}[a-z0-9])?$"},
                "input": {
                    "description": "A text, a list of messages, or one of messages, turns, data",
                    "anyOf": [
                        _TEXT,
                        {"type": "array", "items": message, "minItems": 1},
                        _object({"messages": messages}, ["messages"]),
                        _object({"turns": _TEXTS}, ["turns"]),
                        _object({"data": _ANY}, ["data"]),
                    ],
                },
                "stubs": _object(
                    {
                        "calls": {"anyOf": [{"type": "array", "items": call}, {"type": "object"}]},
                        "mode": {"enum": list(REPLAYS)},
                        "unconsumed": {"enum": ["fail", "allow"]},
                        "live": {"type": "array", "items": _TEXT},
                        "safe": {"type": "array", "items": _TEXT},
                    }
                ),
                "checks": {"type": "array", "items": {"anyOf": [_check(kind) for kind in CHECK_KINDS]}},
                "criteria": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"type": "string", "minLength": 1},
                            _object({"text": _TEXT, "judge": _TEXT, "severity": {"enum": list(SEVERITIES)}}, ["text"]),
                        ]
                    },
                },
                "metadata": _object(
                    {
                        "scenario": _TEXT,
                        "difficulty": {"enum": list(DIFFICULTIES)},
                        "capability": _TEXT,
                        "severity": {"enum": list(SEVERITIES)},
                        "kind": {"enum": list(KINDS)},
                        "why": _TEXT,
                        "tags": {"type": "array", "items": _TEXT},
                        "cluster": _TEXT,
                        "customer": _TEXT,
                        "week": _TEXT,
                        "release": _TEXT,
                        "provenance": {"type": "object"},
                    }
                ),
                "settings": {"type": "object"},
                "repeats": {"type": "integer", "minimum": 0, "maximum": REPEATS_MAX},
                "quarantined": _TEXT,
            },
            ["id", "input"],
        ),
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": required} if required else found


def _check(kind: str) -> dict[str, Any]:
    options = {name: _OPTION[name] for name in CHECK_OPTIONS[kind]}
    return _object({kind: _WANTED[kind], **options, "id": _TEXT, "when": _TEXT}, [kind])
