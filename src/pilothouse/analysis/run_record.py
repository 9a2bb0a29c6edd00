"""The record of an analysis run: what is read, by whom, within which bounds. Frozen when the run is made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from pilothouse.files.export_file import slug
from pilothouse.records import BadRequest, Broken, NotFound

from .disk import read_json, write_durably
from .playbook import ItemKind, Playbook

SCHEMA = "pilothouse.analysis/1"
RUN_NAME = "run.json"
Reader = Literal["first", "second"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What one worker reads: a trace, or the traces of a session."""

    id: str
    """Its name in file names."""
    traces: tuple[str, ...]
    """Trace ids, in order of start."""
    folders: tuple[str, ...]
    """Their folders, relative to the export."""
    input_sha: str
    """The hash of its files when the run was made."""
    group: str = ""
    """The customer, session or whatever the run is broken down by."""
    again: bool = False
    """True where it was drawn for a second reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One reading of one item."""

    item: Item
    reader: Reader = "first"

    @property
    def key(self) -> str:
        """Its name in leases and logs."""
        return f"{self.reader}-{self.item.id}"

    @property
    def path(self) -> str:
        """Where its answer lies, relative to the run."""
        return f"{'items' if self.reader == 'first' else 'second'}/{self.item.id}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRun:
    """One run over one export."""

    id: str
    playbook: Playbook
    spec_hash: str
    """Of the export."""
    watermark: dict[str, Any]
    """How far the export was."""
    worker: str
    second_worker: str
    seed: int
    sample: int
    """How many items were drawn; 0: all of them."""
    where: str
    by: str
    items: tuple[Item, ...]
    left_out: int = 0
    """Traces that belong to no item, such as those without a session."""
    created: str = ""
    limits: tuple[str, ...] = field(default=())
    """What the reader of the report should know about how this was made."""

    @property
    def first_jobs(self) -> tuple[Job, ...]:
        """One reading of every item."""
        return tuple(Job(item=item) for item in self.items)


def run_id(playbook: Playbook, identity: dict[str, Any]) -> str:
    """The id of a run: the same question about the same data has the same id."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{slug(playbook.name, 30)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def write_run(folder: Path, run: AnalysisRun) -> None:
    """Write ``run.json``, and the playbook as it was beside it."""
    book = asdict(run.playbook)
    instructions = book.pop("instructions")
    about = {**asdict(run), "playbook": book, "schema": SCHEMA, "playbook_sha": run.playbook.sha}
    write_durably(folder / "playbook.md", instructions + "\n")
    write_durably(folder / RUN_NAME, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def read_run(folder: Path) -> AnalysisRun:
    """The inverse of :func:`write_run`.

    Raises:
        NotFound: there is no run.
        Broken: its record is unreadable.
    """
    if not (folder / RUN_NAME).is_file():
        raise NotFound("there is no analysis run here", got=str(folder), fix="pilothouse analyze new triage DIR")
    try:
        found = cast("dict[str, Any]", json.loads((folder / RUN_NAME).read_text()))
        if found.pop("schema") != SCHEMA:
            raise BadRequest("the run was made by another version", got=str(folder), allowed=SCHEMA)
        found.pop("playbook_sha")
        book = Playbook(**found.pop("playbook"), instructions=(folder / "playbook.md").read_text().strip())
        items = tuple(_item(item) for item in found.pop("items"))
        fields: dict[str, Any] = {**found, "limits": tuple(found["limits"]), "playbook": book, "items": items}
        return AnalysisRun(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Broken(
            "the record of the run is unreadable",
            got=str(folder / RUN_NAME),
            fix="make a new run: pilothouse analyze new triage DIR",
        ) from error


def _item(fields: dict[str, Any]) -> Item:
    fields["traces"], fields["folders"] = tuple(fields["traces"]), tuple(fields["folders"])
    return Item(**fields)


def find_run(path: Path) -> Path:
    """The folder of a run: as named, or the newest one of an export.

    Raises:
        NotFound: there is none.
    """
    if (path / RUN_NAME).is_file():
        return path
    runs = sorted(
        (folder for folder in (path / "analysis").glob("*") if (folder / RUN_NAME).is_file()),
        key=lambda folder: (_created(folder), folder.name),
    )
    if not runs:
        near = sorted(str(found.parent) for found in path.parent.glob(f"{path.name}*/{RUN_NAME}"))
        if len(near) == 1 and path.name:
            return Path(near[0])
        raise NotFound(
            "there is no analysis run here",
            got=str(path),
            allowed=near[:10] or ["the folder of an export or of a run"],
            fix=f"pilothouse analyze new triage {path}",
        )
    return runs[-1]


def _created(folder: Path) -> str:
    found = read_json(folder / RUN_NAME)
    return str(cast("dict[str, Any]", found).get("created", "")) if isinstance(found, dict) else ""


def export_of(folder: Path) -> Path:
    """The export a run belongs to: ``EXPORT/analysis/RUN``."""
    return folder.parent.parent


def item_kind(run: AnalysisRun) -> ItemKind:
    """What one item is."""
    return run.playbook.item
