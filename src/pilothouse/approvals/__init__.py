"""Actions that wait for a person: asked by policy, decided by people, run once and exactly as approved."""

from __future__ import annotations

from .action import ARGUMENTS_BYTES_MAX, Action, canonical, digest
from .approving import Approvals
from .demand import Demand, demand_of, sentence
from .key import approvals_key
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
    NotApproved,
    Reservation,
    Right,
    State,
    person,
)
from .moment import Moment
from .rules import ApprovalRules, Channel, Fallback, Rule, Rung, read_approvals

__all__ = [
    "ARGUMENTS_BYTES_MAX",
    "EVENT_KINDS",
    "LEASE_S_DEFAULT",
    "OPEN",
    "SERVER",
    "STATES",
    "Action",
    "Approval",
    "ApprovalRules",
    "Approvals",
    "Ask",
    "Channel",
    "Demand",
    "Event",
    "EventKind",
    "Evidence",
    "Fallback",
    "Moment",
    "NotApproved",
    "Reservation",
    "Right",
    "Rule",
    "Rung",
    "State",
    "approvals_key",
    "canonical",
    "demand_of",
    "digest",
    "person",
    "read_approvals",
    "sentence",
]
