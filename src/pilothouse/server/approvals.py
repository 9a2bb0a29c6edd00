"""The server's approvals: under the policy file, over the database of small records, checked by the guards."""

from __future__ import annotations

from pathlib import Path

from pilothouse.approvals import Action, ApprovalRules, Approvals, approvals_key, read_approvals
from pilothouse.guards import About, Guards
from pilothouse.policy import Policy, Watch
from pilothouse.records import NotApproved
from pilothouse.store.approval_store import approvals_of


def open_approvals(control: str, data: Path, policy: Watch, guards: Guards) -> Approvals:
    """Approvals as the policy file says at the moment of each use.

    Raises:
        BadRequest: the key that signs them is too short, or others can read it.
        Unreachable: the database does not open.
    """
    read: dict[str, ApprovalRules] = {}

    def rules() -> tuple[str, ApprovalRules]:
        now = policy.policy
        return now.version, made(now)

    def made(wanted: Policy) -> ApprovalRules:
        found = read.get(wanted.version)
        if found is None:
            # The one in force, and the one that is about to be.
            for old in list(read)[:-1]:
                read.pop(old, None)
            found = read[wanted.version] = read_approvals(wanted.section("approvals"))
        return found

    policy.ahead(lambda new: (made(new), None)[1])

    def check_arguments(project_id: str, action: Action) -> None:
        about = About(
            agent=action.agent,
            user=action.user,
            tool=action.tool,
            arguments=dict(action.arguments),
            tenant=project_id,
        )
        verdict, onward = guards.check_data("tool_arguments", dict(action.arguments), about)
        # What a guard would rewrite is not what the reviewer wrote: no other bytes than those that were approved run.
        if not verdict.allowed or onward != dict(action.arguments):
            raise NotApproved("the guards refuse these arguments", got=verdict.reason, fix="change them again")

    return Approvals(approvals_of(control, data), rules, key=approvals_key(data), check_arguments=check_arguments)
