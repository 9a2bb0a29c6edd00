"""The engine's log joins ours, without what is no news."""

from __future__ import annotations

import logging

_NOISE = (
    # A failed run is kept with its error, and a retried step is no event; the log need not tell it again.
    "Exception encountered in background workflow",
    "Step being automatically retried",
    "Duplicate registration of function",
)


def quieten() -> None:
    """Before the engine is made: left alone it would put a handler of its own on stderr, and tell of every migration."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.setLevel(logging.WARNING)
    if not any(isinstance(one, _News) for one in logger.filters):
        logger.addFilter(_News())


class _News(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(_NOISE)
