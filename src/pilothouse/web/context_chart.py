"""The picture of a conversation's windows: one column a model call, stacked by part; drawn on the server as a few paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilothouse.traces.model import ContextCall, ContextThread

from .format import tokens

COLUMNS_MAX = 600
"""Columns of one picture; of more calls each column shows the one that says most of several."""
HEIGHT = 1_000.0
_STEP, _BAR = 10, 8.6
WORDS = {
    "system": "system prompt",
    "tools": "tool definitions",
    "plan": "plan",
    "question": "question",
    "history": "earlier turns",
    "assistant": "assistant",
    "tool_output": "tool output",
    "media": "images and media",
    "other": "other",
    "unseen": "not recorded",
}
"""Parts of a window as people call them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPicture:
    """The windows of one conversation as SVG paths."""

    thread: ContextThread
    columns: int
    """Each is ten units wide."""
    density: str
    """few, some, many: how wide the picture must be to be read."""
    parts: tuple[tuple[str, str], ...]
    """Kind of part and its path, the first at the bottom."""
    views: tuple[tuple[str, str], ...]
    """State of the question and its path: a band above the columns."""
    dropped: str
    """Marks below columns at which messages fell out."""
    compacted: str
    """Marks below columns at which a summary took their place."""
    lost: tuple[tuple[float, int], ...]
    """Where the question fell out: percent from the left, and the step."""
    top: str
    """The largest window, in words."""
    limit: float | None
    """How high the model's window lies, in percent from the top; None where it is not known or far above."""
    limit_text: str
    chosen: float | None
    """Percent from the left of the step that is looked at."""
    payload: list[list[Any]]
    """For each column: step, tokens, percent full, new, dropped, question, and the parts by name."""


def picture(thread: ContextThread, calls: Sequence[ContextCall], step: int) -> ContextPicture | None:
    """Draw the windows of one conversation; None where nothing is known of their sizes."""
    shown = _columns([call for call in calls if call.thread == thread.number])
    peak = max((call.tokens for call in shown), default=0)
    if not peak:
        return None
    sizes = {call.window for call in shown if call.window}
    window = max(sizes) if sizes else None
    scale = float(peak)
    near = window is not None and window <= peak * 1.6
    if near and window is not None:
        scale = float(max(peak, window))
    paths: dict[str, list[str]] = {}
    views: dict[str, list[str]] = {}
    dropped: list[str] = []
    compacted: list[str] = []
    for column, call in enumerate(shown):
        left = column * _STEP
        bottom = HEIGHT
        for part in call.parts:
            height = part.tokens / scale * HEIGHT
            bottom -= height
            paths.setdefault(part.kind, []).append(f"M{left} {bottom:.1f}h{_BAR}v{height:.1f}h-{_BAR}z")
        views.setdefault(call.question, []).append(f"M{left} 0h{_STEP}v10h-{_STEP}z")
        if call.compacted:
            compacted.append(f"M{left} 0h{_BAR}v10h-{_BAR}z")
        elif call.dropped_messages:
            dropped.append(f"M{left} 0h{_BAR}v10h-{_BAR}z")
    count = len(shown)
    return ContextPicture(
        thread=thread,
        columns=count,
        density="few" if count <= 12 else "some" if count <= 120 else "many",
        parts=tuple((kind, "".join(paths[kind])) for kind in WORDS if kind in paths),
        views=tuple((state, "".join(path)) for state, path in views.items()),
        dropped="".join(dropped),
        compacted="".join(compacted),
        lost=tuple((100 * column / count, call.step) for column, call in enumerate(shown) if call.question_lost),
        top=tokens(scale),
        limit=100 * (1 - window / scale) if near and window is not None else None,
        limit_text=f"window {tokens(window)}" if window else "",
        chosen=next((100 * (column + 0.43) / count for column, call in enumerate(shown) if call.step == step), None),
        payload=[_told(call) for call in shown],
    )


def _columns(calls: Sequence[ContextCall]) -> list[ContextCall]:
    """The calls to draw: of several that share a column the one where something happened, else the largest."""
    each = -(-len(calls) // COLUMNS_MAX) or 1
    groups = (calls[first : first + each] for first in range(0, len(calls), each))
    return [max(group, key=lambda call: (call.question_lost, bool(call.compacted), call.tokens)) for group in groups]


def _told(call: ContextCall) -> list[Any]:
    full = None if call.full is None else round(call.full * 100, 1)
    parts = {WORDS[part.kind]: part.tokens for part in call.parts}
    return [call.step, call.tokens, full, call.new_tokens, call.dropped_tokens, call.question, parts]
