"""How inputs, results and errors are kept: JSON, and nothing else. What is read back runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from pilothouse.records import BadRequest, PilothouseError

NAME = "pilothouse_json"
VALUE_BYTES_MAX = 8_000_000
"""A larger result belongs in a file, and its path in the result."""


class RunFailed(PilothouseError):
    """A run or a step ended with an error; this is what was kept of it."""

    def __init__(self, message: str, *, type: str = "", **facts: Any) -> None:
        known = {name: facts.get(name) for name in ("got", "allowed", "fix")}
        super().__init__(message, **known)
        self.type = type
        """The name of the error's class."""


class JsonSerializer:
    """Serves the engine's protocol of a serializer."""

    def name(self) -> str:
        """What rows are marked with."""
        return NAME

    def serialize(self, data: Any) -> str:
        """A value, or an error, as text.

        Raises:
            BadRequest: it is not JSON, or too large.
        """
        if isinstance(data, BaseException):
            return json.dumps({"error": failure(data)}, ensure_ascii=False)
        text = json.dumps({"value": plain(data)}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if len(text) > VALUE_BYTES_MAX:
            raise BadRequest(
                "a step's input or result is too large to keep",
                got=f"{len(text)} characters",
                allowed=VALUE_BYTES_MAX,
                fix="write it to a file and return its path",
            )
        return text

    def deserialize(self, serialized_data: str) -> Any:
        """What :meth:`serialize` was given; an error comes back as :class:`RunFailed`."""
        kept = json.loads(serialized_data)
        if "error" in kept:
            error = cast("dict[str, Any]", kept["error"])
            return RunFailed(error["message"], **{k: v for k, v in error.items() if k != "message"})
        return kept["value"]


def failure(error: BaseException) -> dict[str, Any]:
    """What is kept of an error."""
    facts: dict[str, Any] = {"type": getattr(error, "type", "") or type(error).__name__}
    if isinstance(error, PilothouseError):
        facts["message"] = error.message
        facts |= {k: _shown(v) for k, v in error.as_dict().items() if k in ("got", "allowed", "fix")}
    else:
        try:
            facts["message"] = f"{type(error).__name__}: {error}"[:10_000]
        except Exception:
            facts["message"] = type(error).__name__
    return facts


def plain(value: Any) -> Any:
    """A value as JSON holds it: tuples become lists; anything else that JSON has no word for is refused."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)
        wrong = [key for key in pairs if not isinstance(key, str)]
        if wrong:
            raise BadRequest("keys must be text to be kept as JSON", got=repr(wrong[0])[:100])
        return {key: plain(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("list[Any]", value)]
    raise BadRequest(
        "a step's input or result must be JSON", got=type(value).__name__, fix="return dicts, lists, text, numbers"
    )


def _shown(value: Any) -> Any:
    try:
        return plain(value)
    except BadRequest:
        return repr(value)[:200]
