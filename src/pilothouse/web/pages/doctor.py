"""What keeps the recorded picture from being the whole truth: refused, lost, skewed, unpriced."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.traces.model import Doctor, Finding
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit
from pilothouse.web.windows import Chosen

LEVELS = ("bad", "warn", "note", "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorPage(PageContext):
    """What the doctor found."""

    window: Chosen = field(metadata=told("the time window examined"))
    doctor: Doctor = field(metadata=told("the findings, with examples and remedies"))

    @property
    def ordered(self) -> list[Finding]:
        """The findings, worst first."""
        return sorted(self.doctor.findings, key=lambda finding: LEVELS.index(finding.level))

    @property
    def levels(self) -> dict[str, int]:
        """How many findings there are of each level."""
        return {level: sum(f.level == level for f in self.doctor.findings) for level in LEVELS}


def gather(visit: Visit) -> DoctorPage:
    """Examine a window."""
    window = visit.window()
    return DoctorPage(
        title="Doctor",
        command=f"pilothouse doctor {window.flags}",
        window=window,
        doctor=visit.reader.doctor(window.since_ns, window.until_ns),
    )


DOCTOR = PageSpec(name="doctor", path="/doctor", context=DoctorPage, gather=gather)
