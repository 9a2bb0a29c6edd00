"""Importing files: each is read, sent and counted; what fails is told of and does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pilothouse.otlp.destination import Destination
from pilothouse.records import PilothouseError

from .encode import Labels, trace_id
from .formats import Format
from .send import Outbox, Sent
from .sources import Source
from .trajectory import Foreign, Posted, Scored, Skipped, Step

TRACES_COUNTED_MAX = 1_000_000
"""Distinct traces beyond are not told apart any more, so that counting them stays within bounds."""
_TOLD_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that was not imported."""

    file: str
    where: str
    reason: str


@dataclass(slots=True)
class Report:
    """What an import did."""

    files: int = 0
    others: int = 0
    """Files of the folder that are of another kind."""
    traces: set[bytes] = field(default_factory=set[bytes])
    first_ns: int = 0
    last_ns: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])
    failed: int = 0
    """All failures, also those beyond the first thousand."""
    sent: Sent = field(default_factory=Sent)

    def fail(self, source: Source, where: str, reason: str) -> None:
        """Note something that was not imported."""
        self.failed += 1
        if len(self.failures) < _TOLD_MAX:
            self.failures.append(Failure(file=source.name, where=where, reason=reason))


Progress = Callable[[Report, Source], None]


def run_import(
    form: Format,
    sources: Iterable[Source],
    labels: Labels,
    destination: Destination | None,
    progress: Progress = lambda _report, _source: None,
) -> Report:
    """Import files; without a destination they are read and counted only.

    Raises:
        NotAllowed: the server does not let this key send.
        Unreachable: the server was away for two minutes.
    """
    report = Report()
    outbox = Outbox(destination, labels)
    report.sent = outbox.sent
    try:
        for source in sources:
            _one(form, source, labels, outbox, report, progress)
        outbox.flush()
    finally:
        outbox.close()
    for reason in outbox.sent.refused:
        report.failed += 1
        report.failures.append(Failure(file="", where="server", reason=reason))
    return report


def _one(form: Format, source: Source, labels: Labels, outbox: Outbox, report: Report, progress: Progress) -> None:
    try:
        for item in form.read(source):
            progress(report, source)
            if isinstance(item, Step):
                outbox.step(item, form.service)
                _count(report, trace_id(labels.format, item.trace))
                report.first_ns = min(report.first_ns or item.start_ns, item.start_ns)
                report.last_ns = max(report.last_ns, item.end_ns)
            elif isinstance(item, Scored):
                outbox.score(item)
            elif isinstance(item, Posted):
                outbox.posted(item)
                for id in item.traces:
                    _count(report, id.encode("utf-8", "replace"))
            else:
                report.fail(source, item.where, item.reason)
        report.files += 1
    except Foreign as error:
        if source.named:
            report.fail(source, "file", str(error))
        else:
            report.others += 1
    except PilothouseError:
        raise
    except Exception as error:
        # A reader that stumbles is a defect of ours; the other files are not to suffer from it.
        report.fail(source, "file", f"cannot be read: {type(error).__name__}: {error}"[:300])


def _count(report: Report, trace: bytes) -> None:
    if len(report.traces) < TRACES_COUNTED_MAX:
        report.traces.add(trace)


__all__ = ["Failure", "Report", "Skipped", "run_import"]
