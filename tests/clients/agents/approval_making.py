"""A desk of approvals in a folder, and the person who decides there."""

from pathlib import Path

from pilothouse.approvals import Approvals, Moment, read_approvals
from pilothouse.records import Actor
from pilothouse.runtime.approval_desk import OwnApprovalDesk
from pilothouse.store.approval_store import approvals_of

RULES = {"rules": [{"name": "refunds", "tool": "refund", "say": "Refund {args.usd} dollars of order {args.order}."}]}
PROJECT = "local"
PAT = Actor(id="key-pat", name="Pat", kind="person")


class Person:
    """Decides as a person does, over the desk that was opened last."""

    approvals: Approvals

    def approve(self, id: str) -> None:
        self.approvals.approve(PROJECT, id, PAT, digest=self.approvals.find(PROJECT, id).digest)

    def edit(self, id: str, arguments: dict[str, object]) -> None:
        digest = self.approvals.find(PROJECT, id).digest
        self.approvals.edit(PROJECT, id, PAT, digest=digest, arguments=arguments)

    def reject(self, id: str, why: str) -> None:
        self.approvals.reject(PROJECT, id, PAT, why=why)


pat = Person()


def desk_in(folder: Path) -> OwnApprovalDesk:
    """A desk whose rules want a person for refunds."""
    rules = read_approvals(RULES)
    folder.mkdir(parents=True, exist_ok=True)
    pat.approvals = Approvals(approvals_of("", folder), lambda: ("v1", rules), key=b"k" * 32, moment=Moment())
    return OwnApprovalDesk(pat.approvals, project_id=PROJECT)
