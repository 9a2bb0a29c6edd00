"""The policy of a server: its versions, what another one would have done, and rules proposed for it."""

from .desk import Policies
from .drafts import Draft, Drafts
from .keeping import Keeper, PolicyConflict, PolicyText, PolicyVersion, diff
from .model import (
    ApprovalOutcome,
    ApprovalTrial,
    Bounds,
    BudgetOutcome,
    BudgetTrial,
    CheckChange,
    FlowTrial,
    GateOutcome,
    LimitOutcome,
    Replayed,
    RouteOutcome,
    SurvivalOutcome,
    Trial,
    TrialExample,
)
from .patching import Rule, patched, switched
from .proposing import Offence, Proportion, Proposal, Proposals, share
from .switching import Switch, SwitchKind, switch, switches
from .trial import try_policy

__all__ = [
    "ApprovalOutcome",
    "ApprovalTrial",
    "Bounds",
    "BudgetOutcome",
    "BudgetTrial",
    "CheckChange",
    "Draft",
    "Drafts",
    "FlowTrial",
    "GateOutcome",
    "Keeper",
    "LimitOutcome",
    "Offence",
    "Policies",
    "PolicyConflict",
    "PolicyText",
    "PolicyVersion",
    "Proportion",
    "Proposal",
    "Proposals",
    "Replayed",
    "RouteOutcome",
    "Rule",
    "SurvivalOutcome",
    "Switch",
    "SwitchKind",
    "Trial",
    "TrialExample",
    "diff",
    "patched",
    "share",
    "switch",
    "switched",
    "switches",
    "try_policy",
]
