"""The policy: its text with what is wrong with it, what it would have done, and its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilothouse.policies import CheckChange, Trial, TrialExample
from pilothouse.policies import PolicyVersion as Version
from pilothouse.policy import Problem
from pilothouse.web.context import told
from pilothouse.web.model import PolicyShown
from pilothouse.web.reader import Visitor
from pilothouse.web.visit import PageContext, PageSpec, Visit, link, number_in

STARTER = """# What agents may do and spend. It is in force as soon as it is written; the line "Try it" changes nothing.
guards:
  input:
    - injection
    - {check: personal, action: rewrite}
  output: [secrets, beacons]
  tool_arguments: [{check: secrets, action: block}]
  tool_results: [injection, secrets]

budgets:
  each-user: {level: user, usd: 1.00, per: day}
"""
"""What the editor offers where there is no policy yet."""

SINCE = ("1h", "24h", "7d", "30d")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPage(PageContext):
    """The policy, and a text that may become it."""

    path: str = field(metadata=told("where the file is, or will be"))
    version: str = field(metadata=told("the version in force; none where there is no file"))
    file_problem: str = field(metadata=told("what is wrong with the file, while the version before it is in force"))
    editable: bool = field(metadata=told("true where the file can be written from here"))
    why_not: str = field(metadata=told("why it cannot"))
    may_set: bool = field(metadata=told("true where the visitor may put a policy in force"))
    text: str = field(metadata=told("the text in the editor"))
    base: str = field(metadata=told("the revision of the file that the text was begun from"))
    fresh: bool = field(metadata=told("true where there is no policy yet: the text is an example"))
    note: str = field(metadata=told("why, as typed so far"))
    since: str = field(metadata=told("the window that it is tried on"))
    problems: tuple[Problem, ...] = field(metadata=told("what is wrong with the text, by line"))
    error: str = field(metadata=told("why it was not put in force"))
    changes: tuple[str, ...] = field(metadata=told("what the text would change in the file"))
    draft: str = field(metadata=told("which text is worked on; empty: that of the file"))
    running: bool = field(metadata=told("true while it is being tried"))
    what: str = field(metadata=told("what the trial is doing"))
    done: int = field(metadata=told("how much of that is done"))
    of: int = field(metadata=told("how much of it there is"))
    trial: Trial | None = field(metadata=told("what it would have done"))
    versions: tuple[Version, ...] = field(metadata=told("the newest versions"))
    total: int = field(metadata=told("how many versions there are"))
    chosen: int | None = field(metadata=told("the version whose changes are shown"))
    version_changes: tuple[str, ...] = field(metadata=told("what changed in that version"))
    written: int | None = field(metadata=told("the version that was just written"))

    @property
    def windows(self) -> tuple[str, ...]:
        """What a policy can be tried on."""
        return SINCE

    @property
    def rows(self) -> int:
        """How many lines the editor shows."""
        return min(max(self.text.count("\n") + 3, 14), 32)

    @property
    def here(self) -> str:
        """The page with its draft."""
        return link("/policy", draft=self.draft)

    @property
    def changed(self) -> tuple[CheckChange, ...]:
        """Checks that would decide differently."""
        return tuple(one for one in self.trial.checks if one.new or one.gone) if self.trial else ()

    def examples_of(self, change: CheckChange) -> tuple[TrialExample, ...]:
        """Texts on which a check would decide differently."""
        key = (change.gate, change.check, change.action)
        return tuple(
            one for one in (self.trial.examples if self.trial else ()) if (one.gate, one.check, one.action) == key
        )

    @property
    def share(self) -> int:
        """How much of the trial's work is done, of a hundred."""
        return round(100 * self.done / self.of) if self.of else 0


def gather(visit: Visit) -> PolicyPage:
    """The policy, a draft where one is named, and the changes of a version where one is."""
    version, written = (_number(visit.text(name, 12), name) for name in ("version", "written"))
    found = visit.reader.policy(visit.text("draft", 60), version)
    return _page(found, visit.visitor, chosen=version, written=written)


def policy_checked(visitor: Visitor, form: Mapping[str, str]) -> PolicyPage:
    """The page of a text that is being typed, as far as what is wrong with it goes."""
    found = visitor.reader.policy_checked(form.get("text", ""))
    return _page(visitor.reader.policy("", None), visitor, problems=found.problems, changes=found.changes, typed=True)


def _page(
    found: PolicyShown,
    visitor: Visitor,
    *,
    chosen: int | None = None,
    written: int | None = None,
    problems: tuple[Problem, ...] = (),
    changes: tuple[str, ...] = (),
    typed: bool = False,
) -> PolicyPage:
    draft, current = found.draft, found.current
    fresh = draft is None and not current.text.strip()
    return PolicyPage(
        title="Policy",
        command="pilothouse policy",
        path=current.path,
        version=current.version,
        file_problem=current.problem,
        editable=current.editable,
        why_not=current.why_not,
        may_set=visitor.mode == "admin" and visitor.is_person,
        text=draft.text if draft else STARTER if fresh else current.text,
        base=draft.base if draft else current.revision,
        fresh=fresh,
        note=draft.note if draft else "",
        since=draft.since if draft else "24h",
        problems=draft.problems if draft else problems,
        error=draft.error if draft else "",
        changes=changes if typed else found.changes,
        draft=draft.draft_id if draft else "",
        running=draft is not None and draft.running,
        what=draft.what if draft else "",
        done=draft.done if draft else 0,
        of=draft.total if draft else 0,
        trial=draft.trial if draft else None,
        versions=found.versions,
        total=found.total,
        chosen=chosen,
        version_changes=found.version_changes,
        written=written,
    )


def _number(text: str, name: str) -> int | None:
    return number_in(text, name, 1) if text else None


POLICY = PageSpec(name="policy", path="/policy", context=PolicyPage, gather=gather)
