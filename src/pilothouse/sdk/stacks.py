"""An exception in words: type, message and stack, bounded, whatever the exception's own methods do."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from typing import Final

from .jsons import readable

_MESSAGE_CHARS: Final = 10_000
_STACK_CHARS: Final = 30_000
_FRAMES_MAX: Final = 40
_OURS: Final = os.path.dirname(__file__)  # noqa: PTH120  # frames hold names, not paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An exception in words."""

    type: str
    message: str
    stack: str


def describe(error: BaseException) -> Told:
    """The words of an exception; a part that cannot be told is left empty or named."""
    kind = type(error)
    module = kind.__module__
    name = kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
    try:
        message = readable(str(error)[:_MESSAGE_CHARS])
    except Exception as broken:
        message = f"(its message cannot be told: {type(broken).__name__})"
    return Told(type=readable(name), message=message, stack=_stack(error))


def _stack(error: BaseException) -> str:
    try:
        where = error.__traceback__
        while where is not None and where.tb_next is not None and where.tb_frame.f_code.co_filename.startswith(_OURS):
            where = where.tb_next  # our own wrappers say nothing
        # Of many frames the innermost say where it happened.
        lines = traceback.format_exception(type(error), error, where, limit=-_FRAMES_MAX)
        text = readable("".join(lines))
    except Exception:
        return ""
    return text if len(text) <= _STACK_CHARS else text[: _STACK_CHARS // 3] + "\n…\n" + text[-2 * _STACK_CHARS // 3 :]
