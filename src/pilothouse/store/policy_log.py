"""Versions of the policy file in the database of small records: what it said, since when, by whom, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .control_schema import POLICY_VERSION
from .control_store import ControlStore

VersionState = Literal["writing", "written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersionRow:
    """One version of the policy file, as it was written or found."""

    number: int
    version: str
    """The hash of what it says, as decisions name it; empty where it could not be read."""
    revision: str
    """The hash of its text, comments included."""
    text: str
    state: VersionState
    who: str
    who_kind: str
    note: str
    of: int | None
    """The version whose text this is again, where it was undone."""
    made_ns: int


class PolicyLog:
    """Reads and writes of versions."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control

    def begin(
        self, *, version: str, revision: str, text: str, who: str, who_kind: str, note: str, of: int | None, now_ns: int
    ) -> int:
        """Keep a version that is about to be written to the file; gives its number."""
        values = {"version": version, "revision": revision, "text": text, "who": who, "who_kind": who_kind}
        values |= {"note": note, "of": of, "made_ns": now_ns, "state": "writing"}
        with self._control.reading() as connection:
            found = connection.execute(POLICY_VERSION.insert().values(**values).returning(POLICY_VERSION.c.number))
            return int(found.scalar_one())

    def written(self, number: int) -> None:
        """The file holds this version."""
        with self._control.reading() as connection:
            connection.execute(POLICY_VERSION.update().where(POLICY_VERSION.c.number == number).values(state="written"))

    def forget(self, number: int) -> None:
        """A version that was never written to the file."""
        own = POLICY_VERSION.c
        with self._control.reading() as connection:
            connection.execute(POLICY_VERSION.delete().where((own.number == number) & (own.state == "writing")))

    def unsettled(self) -> list[PolicyVersionRow]:
        """Versions of which it is not known whether they reached the file."""
        return self._found(sa.select(POLICY_VERSION).where(POLICY_VERSION.c.state == "writing"))

    def latest(self) -> PolicyVersionRow | None:
        """The newest version; None before the first."""
        newest = self.versions(limit=1)
        return newest[0] if newest else None

    def versions(self, *, limit: int, before: int | None = None) -> list[PolicyVersionRow]:
        """Versions that were written, newest first."""
        own = POLICY_VERSION.c
        wanted = sa.select(POLICY_VERSION).where(own.state == "written").order_by(own.number.desc()).limit(limit)
        return self._found(wanted if before is None else wanted.where(own.number < before))

    def version(self, number: int) -> PolicyVersionRow | None:
        """One version by its number."""
        own = POLICY_VERSION.c
        found = self._found(sa.select(POLICY_VERSION).where((own.number == number) & (own.state == "written")))
        return found[0] if found else None

    def count(self) -> int:
        """How many versions there are."""
        wanted = sa.select(sa.func.count()).where(POLICY_VERSION.c.state == "written")
        with self._control.reading() as connection:
            return int(connection.execute(wanted).scalar_one())

    def _found(self, wanted: sa.Select[Any]) -> list[PolicyVersionRow]:
        with self._control.reading() as connection:
            return [_row(row) for row in connection.execute(wanted).mappings()]


def _row(row: Mapping[Any, Any]) -> PolicyVersionRow:
    return PolicyVersionRow(**{str(name): value for name, value in row.items()})
