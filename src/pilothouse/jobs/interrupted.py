"""What ends a run's function here without being its outcome."""

from __future__ import annotations


class Interrupted(BaseException):
    """The worker stops, or its database cannot be written: the run is left open, to be gone on with.

    No Exception, so that neither a workflow's own handlers nor the engine take it for the run's outcome.
    """
