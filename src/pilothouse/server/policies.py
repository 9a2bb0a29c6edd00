"""The server's policy: who reads which section, and the versions of its file."""

from __future__ import annotations

from pathlib import Path

from pilothouse.approvals import read_approvals
from pilothouse.budgets import read_budgets
from pilothouse.costs import PriceBook
from pilothouse.gateway import read_gateway
from pilothouse.guards import read_guards
from pilothouse.online import read_online
from pilothouse.policies import Keeper, Policies, Proposals
from pilothouse.policy import Policy, Readers, Watch
from pilothouse.store import TraceStore
from pilothouse.store.control_store import ControlStore
from pilothouse.survival import read_limits, read_survival

from .config import Config

READERS: Readers = (
    ("guards", read_guards),
    ("budgets", read_budgets),
    ("survival", read_survival),
    ("limits", read_limits),
    ("gateway", read_gateway),
    ("approvals", read_approvals),
    ("online", read_online),
)
"""Each section with its owner's reader."""


def check_policy(policy: Policy) -> None:
    """Each section is read by its owner: what one of them refuses does not come into force.

    Raises:
        BadRequest: something is wrong with a section.
    """
    for section, read in READERS:
        read(policy.section(section))


def open_policies(policy: Watch, control: ControlStore, store: TraceStore, config: Config, data: Path) -> Policies:
    """The policy with its versions; what became of a write that was cut off is found out now."""
    keeper = Keeper(policy, control, READERS, folder=data)
    keeper.settle()
    return Policies(keeper, policy, store, PriceBook(config.prices), Proposals(control, store, keeper))
