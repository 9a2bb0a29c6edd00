"""Rules that are proposed for the guards, in the database of small records: proposed, accepted or dismissed by a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .control_schema import GUARD_PROPOSAL
from .control_store import ControlStore

ProposalState = Literal["pending", "accepted", "dismissed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """One proposal."""

    proposal_id: str
    project_id: str
    state: ProposalState
    title: str
    detail: Mapping[str, Any]
    made_by: str
    made_ns: int
    decided_by: str = ""
    decided_ns: int | None = None
    policy_number: int | None = None


class ProposalLog:
    """Reads and writes of proposals."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    def add(self, row: ProposalRow) -> None:
        """Keep a proposal."""
        values = {name: getattr(row, name) for name in ProposalRow.__slots__}
        with self._control.reading() as connection:
            connection.execute(GUARD_PROPOSAL.insert().values(**{**values, "detail": json.dumps(row.detail)}))

    def get(self, project: str, proposal_id: str) -> ProposalRow | None:
        """A proposal by its id."""
        own = GUARD_PROPOSAL.c
        found = self._found((own.project_id == project) & (own.proposal_id == proposal_id), 1)
        return found[0] if found else None

    def list(self, project: str, *, state: str = "", limit: int = 100) -> list[ProposalRow]:
        """Proposals, the newest first."""
        own = GUARD_PROPOSAL.c
        where = own.project_id == project
        return self._found(where & (own.state == state) if state else where, limit)

    def decide(
        self, project: str, proposal_id: str, state: ProposalState, who: str, now_ns: int, number: int | None
    ) -> bool:
        """Accept or dismiss a proposal that waits; True for exactly one of several callers."""
        own = GUARD_PROPOSAL.c
        waits = (own.project_id == project) & (own.proposal_id == proposal_id) & (own.state == "pending")
        change = GUARD_PROPOSAL.update().where(waits)
        with self._control.reading() as connection:
            values = {"state": state, "decided_by": who, "decided_ns": now_ns, "policy_number": number}
            return connection.execute(change.values(**values)).rowcount > 0

    def _found(self, where: sa.ColumnElement[bool], limit: int) -> list[ProposalRow]:
        wanted = sa.select(GUARD_PROPOSAL).where(where).order_by(GUARD_PROPOSAL.c.made_ns.desc()).limit(limit)
        with self._control.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        return [ProposalRow(**{**dict(row), "detail": json.loads(row["detail"])}) for row in rows]  # type: ignore[arg-type]  # columns by their names
