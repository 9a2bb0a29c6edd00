"""The mask of the recorder: whatever it is, it never raises, and what it cannot mask does not leave the process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from .settings import Mask

LOG = logging.getLogger("pilothouse")

FAILED = "[masking failed]"
"""Stands for a text whose mask raised or gave something that is no text."""


def mask_of(given: Mask) -> Callable[[str], str] | None:
    """A function that is safe to call on every text; None where nothing is masked.

    Raises:
        BadRequest: a group of rules that does not exist.
    """
    if callable(given):
        hook = given
    elif given:
        from pilothouse.guards import masker  # compiles its rules: only where they are asked for

        hook = masker(given).mask
    else:
        return None
    failed = [0]

    def safe(text: str) -> str:
        try:
            masked = cast("object", hook(text))
        except Exception as error:
            _say(failed, f"raised {type(error).__name__}")
            return FAILED
        if type(masked) is str:
            return masked
        if isinstance(masked, str):
            return str(masked)
        _say(failed, f"gave {type(masked).__name__}, not text")
        return FAILED

    return safe


def _say(failed: list[int], what: str) -> None:
    """Once a process: the text that failed is not shown, since it may be what must not be seen."""
    failed[0] += 1
    if failed[0] == 1:
        LOG.warning("the mask %s; such texts are recorded as %r, see mask= of pilothouse.init", what, FAILED)
