"""Approvals with clocks that a test sets."""

from __future__ import annotations

from typing import Any

from pilothouse.approvals import Action, Approval, Approvals, Ask, Moment, read_approvals
from pilothouse.records import Actor
from pilothouse.store.approval_store import ApprovalStore

NOON_NS = 1_795_953_600_000_000_000
"""2026-11-29T12:00:00 UTC."""
HOUR_S = 3_600
KEY = bytes(range(32))
PROJECT = "prj_test"

AGENT = Actor(id="key_agent", name="refunds-agent", kind="agent")
ANN = Actor(id="key_ann", name="ann", kind="person")
BEN = Actor(id="key_ben", name="Ben", kind="person")
CAROL = Actor(id="key_carol", name="carol", kind="person")

WRITES = {
    "rules": [
        {
            "name": "large-writes",
            "tool": ["sql", "db_*"],
            "when": "rows > 1000",
            "say": "Change {rows} rows: {args.statement}",
            "reviewers": ["ann", "ben"],
            "deadline": "4h",
            "escalate": [{"after": "1h", "to": ["carol"]}],
        },
        {"name": "never", "tool": "drop_table", "do": "forbid"},
        {"name": "money", "tool": "pay", "when": "money > 100.0", "needs": 2, "risk": "high"},
    ]
}


class Clocks:
    """A wall clock that is put forward and back, and a steady one that only goes on."""

    def __init__(self) -> None:
        self.wall = NOON_NS
        self.steady = 1_000_000_000

    def now_ns(self) -> int:
        return self.wall

    def steady_ns(self) -> int:
        return self.steady

    def passes(self, seconds: float) -> None:
        """Time as it passes for everybody."""
        self.wall += int(seconds * 1e9)
        self.steady += int(seconds * 1e9)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += int(seconds * 1e9)


def desk(store: ApprovalStore, clocks: Clocks | None = None, section: dict[str, Any] | None = None) -> Approvals:
    """A server's approvals."""
    clocks = clocks or Clocks()
    rules = read_approvals(WRITES if section is None else section)
    moment = Moment(clocks, steady_ns=clocks.steady_ns)
    return Approvals(store, lambda: ("v1", rules), key=KEY, moment=moment)


def write(statement: str = "DELETE FROM orders", rows: int | None = 5_000, **more: Any) -> Action:
    return Action(tool="sql", arguments={"statement": statement}, rows=rows, agent="refunds", **more)


def asked(approvals: Approvals, action: Action | None = None, **more: Any) -> Approval:
    return approvals.ask(PROJECT, Ask(action=action or write(), reason="they are old", **more), AGENT)
