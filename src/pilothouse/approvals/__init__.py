"""Actions that wait for a person: asked by policy, decided by people, run once and exactly as approved."""

from __future__ import annotations

from .action import ARGUMENTS_BYTES_MAX, Action, canonical, digest
from .approving import Approvals, Listing
from .demand import Demand, demand_of, sentence
from .key import approvals_key
from .links import Link, Links, Opened
from .machine import LEASE_S_DEFAULT
from .model import (
    EVENT_KINDS,
    OPEN,
    SERVER,
    STATES,
    Approval,
    Ask,
    Event,
    EventKind,
    Evidence,
    Reservation,
    Right,
    State,
    person,
)
from .moment import Moment
from .notifying import Notifier, NotTold
from .rules import ApprovalRules, Channel, Fallback, Rule, Rung, read_approvals
from .showing import ApprovalInfo, EventInfo, NoticeInfo, event_info, info, notice_info

__all__ = [
    "ARGUMENTS_BYTES_MAX",
    "EVENT_KINDS",
    "LEASE_S_DEFAULT",
    "OPEN",
    "SERVER",
    "STATES",
    "Action",
    "Approval",
    "ApprovalInfo",
    "ApprovalRules",
    "Approvals",
    "Ask",
    "Channel",
    "Demand",
    "Event",
    "EventInfo",
    "EventKind",
    "Evidence",
    "Fallback",
    "Link",
    "Links",
    "Listing",
    "Moment",
    "NotTold",
    "NoticeInfo",
    "Notifier",
    "Opened",
    "Reservation",
    "Right",
    "Rule",
    "Rung",
    "State",
    "approvals_key",
    "canonical",
    "demand_of",
    "digest",
    "event_info",
    "info",
    "notice_info",
    "person",
    "read_approvals",
    "sentence",
]
