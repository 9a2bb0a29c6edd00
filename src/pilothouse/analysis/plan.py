"""Freezing what a run reads: which items, drawn how, broken down by what."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pilothouse.files.export_file import slug
from pilothouse.records import BadRequest, NotFound, iso

from .export import Export, Row, sha_of, values_of
from .playbook import Playbook
from .run_record import RUN_NAME, AnalysisRun, Item, read_run, run_id, write_run

GROUP_COLUMNS = ("user_id", "session_id", "agent", "agent_version", "environment", "service")
ITEMS_MAX = 20_000


def plan(
    export: Export,
    playbook: Playbook,
    *,
    worker: str = "",
    second_worker: str = "",
    sample: int = 0,
    seed: int = 7,
    where: str = "",
    by: str = "",
) -> AnalysisRun:
    """What a run over an export would read. Nothing is written; the same question gives the same plan.

    Raises:
        BadRequest: the export does not hold what is asked for.
        NotFound: no trace fits.
    """
    if by and by not in GROUP_COLUMNS:
        raise BadRequest("there is no such field to break down by", got=by, allowed=list(GROUP_COLUMNS), fix="--by user_id")  # fmt: skip
    rows = export.traces(where)
    if not rows:
        raise NotFound("no trace of the export fits", got=where or str(export.path), fix="pilothouse analyze new … without --where")  # fmt: skip
    items = _items(rows, playbook, by)
    left_out = len(rows) - sum(len(item.traces) for item in items)
    if not items:
        raise NotFound("no trace of the export belongs to a session", got=str(export.path), fix="a playbook whose item is a trace")  # fmt: skip
    limits: list[str] = []
    if not export.complete:
        limits.append("the export was not complete when the run was made")
    if export.content == "meta":
        limits.append("the export holds no text that a person, a model or a tool wrote")
    if left_out:
        limits.append(f"{left_out:,} traces belong to no session and are left out")
    found = len(items)
    if sample and sample < found:
        chosen = set(random.Random(f"{seed} sample").sample(range(found), sample))  # noqa: S311  # a draw, no secret
        items = [item for number, item in enumerate(items) if number in chosen]
        limits.append(f"{sample:,} of {found:,} items were drawn at random (seed {seed})")
    if len(items) > ITEMS_MAX:
        raise BadRequest("these are too many items for one run", got=f"{len(items):,}", allowed=f"{ITEMS_MAX:,}", fix=f"--sample {ITEMS_MAX}")  # fmt: skip
    items = _with_second(items, playbook.second_reader, seed)
    worker = worker or playbook.worker
    second = second_worker or worker
    identity = {
        "playbook": playbook.sha,
        "spec": export.spec_hash,
        "items": [[item.id, item.input_sha, item.group] for item in items],
        "workers": [worker, second],
        "seed": seed,
        "sample": sample,
        "where": where,
        "by": by,
        "bounds": [playbook.concurrency, playbook.max_tokens, playbook.max_usd, playbook.second_reader],
    }
    return AnalysisRun(
        id=run_id(playbook, identity),
        playbook=playbook,
        spec_hash=export.spec_hash,
        watermark=export.watermark,
        worker=worker,
        second_worker=second,
        seed=seed,
        sample=sample,
        where=where,
        by=by,
        items=tuple(items),
        left_out=left_out,
        limits=tuple(limits),
    )


def begin(export: Export, run: AnalysisRun) -> Path:
    """Write the run's folder; a run that exists is left as it is."""
    folder = export.path / "analysis" / run.id
    if (folder / RUN_NAME).is_file():
        read_run(folder)
        return folder
    for name in ("items", "second", "leases", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_run(folder, replace(run, created=iso(time.time_ns())))
    return folder


def _items(rows: Sequence[Row], playbook: Playbook, by: str) -> list[Item]:
    if playbook.item == "trace":
        return [_item(str(row["trace_id"]), [row], by) for row in rows]
    sessions: dict[str, list[Row]] = {}
    for row in rows:
        if row["session_id"]:
            sessions.setdefault(str(row["session_id"]), []).append(row)
    return [
        _item(f"{slug(name, 40)}-{hashlib.sha256(name.encode()).hexdigest()[:8]}", parts, by)
        for name, parts in sessions.items()
    ]


def _item(id: str, parts: Sequence[Row], by: str) -> Item:
    return Item(
        id=id,
        traces=tuple(str(row["trace_id"]) for row in parts),
        folders=tuple(str(row["folder"]) for row in parts),
        input_sha=sha_of(parts),
        group=next((value for row in parts for value in values_of(row, by)), "") if by else "",
    )


def _with_second(items: Sequence[Item], share: float, seed: int) -> list[Item]:
    wanted = round(share * len(items)) or int(share > 0)
    dice = random.Random(f"{seed} second reader")  # noqa: S311  # a draw, no secret
    chosen = set(dice.sample(range(len(items)), min(wanted, len(items))))
    return [replace(item, again=number in chosen) for number, item in enumerate(items)]
