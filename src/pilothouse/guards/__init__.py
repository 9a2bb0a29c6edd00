"""Guards: checks that allow, flag, rewrite, ask or block, at four gates. Pure; policy comes from configuration."""

from .containment import Cap, Counts, MemoryCounts, Switches
from .drill import Exercise, drill
from .endpoint import CheckFailed
from .events import checks_told, event_of
from .guard import Guard
from .mask import Masker, masker
from .patterns import GROUPS, PATTERNS, Pattern
from .served import Guards, check_data, data_text
from .settings import DEFAULTS as GUARD_DEFAULTS
from .settings import KINDS, GuardSettings, read_guards
from .stream import StreamGuard
from .subject import About
from .verdict import ACTIONS, GATES, Action, Finding, Gate, Ran, Verdict

__all__ = [
    "ACTIONS",
    "GATES",
    "GROUPS",
    "GUARD_DEFAULTS",
    "KINDS",
    "PATTERNS",
    "About",
    "Action",
    "Cap",
    "CheckFailed",
    "Counts",
    "Exercise",
    "Finding",
    "Gate",
    "Guard",
    "GuardSettings",
    "Guards",
    "Masker",
    "MemoryCounts",
    "Pattern",
    "Ran",
    "StreamGuard",
    "Switches",
    "Verdict",
    "check_data",
    "checks_told",
    "data_text",
    "drill",
    "event_of",
    "masker",
    "read_guards",
]
