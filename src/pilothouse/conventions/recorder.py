"""What our own recorder adds to a span, whatever instrumentation made it: that it still runs, and its kind."""

from __future__ import annotations

from pilothouse.records import KINDS, RawSpan
from pilothouse.records.names import KIND, RUNNING

from .draft import Draft


def fill_recorder(span: RawSpan, draft: Draft) -> None:
    """Read the recorder's marks; before the dialect, which decides by the kind what the rest means."""
    get = span.attributes.get
    draft.running = get(RUNNING) is True
    kind = get(KIND)
    if draft.kind is None:
        draft.kind = next((known for known in KINDS if known == kind), None)
