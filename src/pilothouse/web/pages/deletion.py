"""A deletion that waits for a person: what would go, what would stay, and the two buttons."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.deletions import KEPT
from pilothouse.records import iso
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit, session_url, trace_url


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionPage(PageContext):
    """A deletion that was asked for."""

    deletion: DeletionRecord = field(metadata=told("what was asked for, by whom, and what it takes"))
    state: str = field(metadata=told("pending, approved, refused, expired or done"))
    expires: str = field(metadata=told("until when it waits"))
    keeps: tuple[str, ...] = field(metadata=told("what stays although it is related, and why"))
    may_confirm: bool = field(metadata=told("true where the visitor may decide"))

    @property
    def url(self) -> str:
        """The page of what is to be deleted."""
        of = self.deletion
        return trace_url(of.target_id) if of.kind == "trace" else session_url(of.target_id)


def gather(visit: Visit) -> DeletionPage:
    """Read one deletion."""
    found = visit.reader.deletion(visit.parts["id"])
    expired = found.state == "pending" and found.expires_ns <= visit.now_ns
    return DeletionPage(
        title=f"Delete a {found.kind}",
        command=f"pilothouse delete {found.target_id} --dry-run",
        deletion=found,
        state="expired" if expired else found.state,
        expires=iso(found.expires_ns),
        keeps=KEPT,
        may_confirm=visit.visitor.is_person and visit.visitor.mode in ("write", "admin"),
    )


DELETION = PageSpec(name="deletion", path="/deletions/{id}", context=DeletionPage, gather=gather, nav="traces")
