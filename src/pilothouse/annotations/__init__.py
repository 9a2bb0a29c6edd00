"""Annotations: notes, scores and labels on what was recorded, each write stamped with its run and taken back by it."""

from .check import CHANGES_MAX, TEXT_MAX, check_run
from .model import Change, Kept, Outcome, Undone, Written, Wrote
from .reading import of_run, of_session, of_traces, runs
from .showing import settle
from .undoing import undo
from .writing import write

__all__ = [
    "CHANGES_MAX",
    "TEXT_MAX",
    "Change",
    "Kept",
    "Outcome",
    "Undone",
    "Written",
    "Wrote",
    "check_run",
    "of_run",
    "of_session",
    "of_traces",
    "runs",
    "settle",
    "undo",
    "write",
]
