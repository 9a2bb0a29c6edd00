"""The server's runs of suites, kept beside the small records; what they hold is masked as what arrives as traces is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilothouse.intake.masking import read_maskers
from pilothouse.results import Results
from pilothouse.store.result_store import results_of


def open_results(control: str, data: Path, mask: Any) -> Results:
    """Runs under these rules of masking, as the ingest worker is given them.

    Raises:
        Unreachable: the database does not open.
    """
    maskers = read_maskers(mask)
    return Results(results_of(control, data), lambda project: maskers.get(project) or maskers[""])
