"""One raw span in, one reading out, whatever the attributes hold."""

from __future__ import annotations

from pilothouse.records import RawSpan, Reading, names

from .detect import READERS, dialect_of
from .draft import Draft
from .failures import fill_failure
from .identity import fill_identity
from .recorder import fill_recorder


def read(raw: RawSpan) -> Reading:
    """Read a span with the rules of its dialect; never raises.

    Malformed values fall back to raw text. What the rules cannot read stays in the raw attributes, which are not in
    ``consumed``. A defect of ours leaves a reading of dialect ``plain`` with a note that names it.
    """
    dialect = dialect_of(raw)
    draft = Draft(dialect)
    try:
        fill_recorder(raw, draft)
        READERS[dialect](raw, draft)
        if raw.attributes.get(names.REPLAYED) is True and draft.usage is not None:
            # The call was made, and paid for, by an attempt before this one.
            draft.usage = None
            draft.note("replayed from the record of a durable run: nothing was spent")
        fill_failure(raw, draft)
        fill_identity(raw, draft)
        return draft.reading()
    except Exception as error:
        # The span must be stored whatever its attributes hold: better unread than lost.
        return Reading(dialect="plain", notes=(f"not read as {dialect}: {type(error).__name__}",))
