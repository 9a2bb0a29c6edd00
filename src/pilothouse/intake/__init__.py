"""OTLP in: receivers, decoders and the journal between them.

A receiver (:class:`Intake` behind ``intake.http`` and ``intake.grpc``) checks a request, puts it into its
:class:`Journal` and answers once it is on disk. A worker reads all journals with a :class:`JournalReader` and turns
each record into spans, logs or points with :func:`decode`.
"""

from .answer import Answer
from .backpressure import BacklogFull, DiskLow, Load
from .body import UnsupportedMediaType
from .check import SIGNALS, Checked, Decoded, Refusal, Signal
from .checkpoint import Checkpoint, Spot
from .counters import AcceptedWrites, Counters, RefusedWrites, Snapshot
from .decode import decode, validate
from .journal import Journal, JournalStats, recover
from .journal_reader import Batch, Entry, JournalReader, ReaderStats, backlog_bytes
from .receive import Authorise, Disconnected, Intake, TooSlow
from .segment import Position, Record
from .segment_recovery import Recovery
from .settings import Settings

__all__ = [
    "SIGNALS",
    "AcceptedWrites",
    "Answer",
    "Authorise",
    "BacklogFull",
    "Batch",
    "Checked",
    "Checkpoint",
    "Counters",
    "Decoded",
    "Disconnected",
    "DiskLow",
    "Entry",
    "Intake",
    "Journal",
    "JournalReader",
    "JournalStats",
    "Load",
    "Position",
    "ReaderStats",
    "Record",
    "Recovery",
    "Refusal",
    "RefusedWrites",
    "Settings",
    "Signal",
    "Snapshot",
    "Spot",
    "TooSlow",
    "UnsupportedMediaType",
    "backlog_bytes",
    "decode",
    "recover",
    "validate",
]
