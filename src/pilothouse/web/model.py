"""Small records the pages need beside those of :mod:`pilothouse.traces.model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilothouse.analysis.shelf import Analysis, AnalysisFile
from pilothouse.approvals import ApprovalInfo, EventInfo, NoticeInfo
from pilothouse.cache import CacheOverview
from pilothouse.gateway import GatewayStatus
from pilothouse.jobs import Run, Step
from pilothouse.policies import Draft, PolicyText, PolicyVersion, Proposal, Switch
from pilothouse.policy import Problem
from pilothouse.queues import QueueInfo, QueueLabel, Taxonomy
from pilothouse.traces.model.gateway import GatewayTraffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A note, a score or a label, as a page lists it."""

    annotation_id: str
    """Empty for a score that came with the telemetry."""
    kind: str
    """note, score or label."""
    name: str
    """What was judged, or the label; empty for a note."""
    value: float | None
    label: str
    """A score's word."""
    text: str
    actor: str
    actor_kind: str
    """person, agent or evaluator; empty where it came with the telemetry."""
    run: str
    time: str
    step: int | None
    """The step it is on; nothing where it is on the whole."""
    trace_id: str
    own: bool
    """True where the visitor may remove it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlColumn:
    """A column one can query."""

    name: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTable:
    """A view one can query."""

    name: str
    help: str
    columns: tuple[SqlColumn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlResult:
    """The answer to a statement."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    """True where there were more rows than the limit."""
    elapsed_ms: float
    rows_read: int = 0
    notes: tuple[str, ...] = ()
    """What was limited or rewritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSteps:
    """A durable run and its recorded steps."""

    run: Run
    steps: tuple[Step, ...]
    """Oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisList:
    """Some analyses, newest first."""

    items: tuple[Analysis, ...]
    total: int
    next: str
    """Cursor of the next page; empty at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisShown:
    """One analysis with what it found."""

    analysis: Analysis
    findings: Mapping[str, Any]
    """The report as data; empty while there is none."""
    profile: Mapping[str, Any]
    """What was counted before anybody read; empty where it has not been yet."""
    report: str
    """The report as markdown; empty while there is none."""
    files: tuple[AnalysisFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Writes that were refused lately: somebody believes they are recorded and they are not."""

    posts: int
    """Refused posts."""
    why: str
    """The commonest reason, e.g. ``401 unknown key``."""
    last: str
    """When the last one came, ISO 8601 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyShown:
    """The policy as its page shows it."""

    current: PolicyText
    versions: tuple[PolicyVersion, ...]
    """Newest first."""
    total: int
    draft: Draft | None
    """A text that somebody works on; None where none is named."""
    changes: tuple[str, ...]
    """What the draft would change: a unified diff."""
    version_changes: tuple[str, ...]
    """What changed in the version that is named; empty where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChecked:
    """What is wrong with a text, and what it would change."""

    problems: tuple[Problem, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueShown:
    """An annotation queue as its page shows it."""

    info: QueueInfo
    taxonomy: Taxonomy
    labels: tuple[QueueLabel, ...]
    """The newest, newest first."""
    more_labels: int
    may_change: bool
    """Whether the visitor may fill it and change its choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """An approval in a list."""

    approval: ApprovalInfo
    left_s: int
    """Seconds until its deadline; 0 where it is over."""
    ladder: tuple[str, ...]
    """Whom else it asks, and when."""
    escalated: int
    """How many of those were asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalQueue:
    """Approvals of one list."""

    rows: tuple[ApprovalRow, ...]
    counts: Mapping[str, int]
    """How many there are, by state."""
    next: str
    has_rules: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalShown:
    """One approval as its page shows it."""

    approval: ApprovalInfo
    history: tuple[EventInfo, ...]
    notices: tuple[NoticeInfo, ...]
    left_s: int
    ladder: tuple[str, ...]
    escalated: int
    why_not: str
    """Why the visitor may not decide; empty where they may."""
    visitor_name: str
    next_id: str
    previous_id: str
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckShown:
    """One check at one gate."""

    gate: str
    name: str
    kind: str
    about: str
    """What its kind finds, in a few words."""
    on_failure: str
    deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayShown:
    """The gateway, its traffic and its cache."""

    status: GatewayStatus
    hour: GatewayTraffic
    day: GatewayTraffic
    cache: CacheOverview
    """Of the last seven days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardsShown:
    """The guards in force, and rules that are proposed for them."""

    version: str
    checks: tuple[CheckShown, ...]
    """In the order in which they run."""
    caps: tuple[str, ...]
    off: tuple[Switch, ...]
    """What is switched off, by whom and why."""
    proposals: tuple[Proposal, ...]
    """The newest first."""
