"""The living list of how things fail: failure modes that keep their ids over runs. New ones are marked new, gone ones
gone, and one that comes back is the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pilothouse.records import Broken

from .cohorts import Cohort
from .disk import locked, write_durably
from .fence import one_line

NAME = "taxonomy.json"
SCHEMA = "pilothouse.taxonomy/1"
SAME = 0.5
"""From this likeness of words on, two cohorts are the same failure mode."""
_RUNS_KEPT = 50

Mark = Literal["new", "known", "back", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A cohort's failure mode."""

    id: str
    """Such as ``fm-007``: stable over runs."""
    mark: Mark


def place(
    folder: Path, run_id: str, created: str, cohorts: Sequence[Cohort], of: int, *, scope: str
) -> tuple[list[Placed], list[dict[str, Any]]]:
    """Give every cohort its failure mode, and write the list; what of the list this run did not see is the second value.

    Doing it again for the same run changes nothing but that run's own counts. ``scope`` says what was asked of which
    traces: a mode is gone where a later run of the same scope does not see it.
    """
    path = folder / NAME
    with locked(folder):
        modes = _read(path)
        for mode in modes:
            mode["runs"] = [seen for seen in mode["runs"] if seen["run"] != run_id]
        earlier = [mode for mode in modes if mode["runs"] or mode["made_by"] != run_id]
        matched = _matched(cohorts, modes)
        placed: list[Placed] = []
        for cohort, mode in zip(cohorts, matched, strict=True):
            if mode is None:
                mode = _new(modes, cohort, run_id)
                modes.append(mode)
            mark: Mark = "new" if mode not in earlier else "back" if mode["state"] == "gone" else "known"
            mode["templates"] = list(dict.fromkeys([*mode["templates"], *cohort.templates]))[:10]
            mode["runs"] = sorted(
                [*mode["runs"], {"run": run_id, "at": created, "scope": scope, "items": len(cohort.items), "of": of}],
                key=lambda seen: (seen["at"], seen["run"]),
            )[-_RUNS_KEPT:]
            placed.append(Placed(id=mode["id"], mark=mark))
        here = {one.id: one.mark for one in placed}
        for mode in modes:
            if mode["id"] in here:
                mode["state"] = here[mode["id"]]
            elif mode["runs"] and mode["runs"][-1].get("scope") == scope and created >= mode["runs"][-1]["at"]:
                mode["state"] = "gone"
        modes = [mode for mode in modes if mode["runs"]]
        write_durably(path, json.dumps({"schema": SCHEMA, "modes": modes}, indent=1, ensure_ascii=False) + "\n")
        write_durably(folder / "taxonomy.md", _page(modes))
    return placed, [mode for mode in modes if mode["state"] == "gone"]


def _matched(cohorts: Sequence[Cohort], modes: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The mode of each cohort, each mode once: the most alike first."""
    pairs = [
        (likeness(cohort.templates, mode["templates"], cohort.component == mode["component"]), i, j)
        for i, cohort in enumerate(cohorts)
        for j, mode in enumerate(modes)
    ]
    found: list[dict[str, Any] | None] = [None] * len(cohorts)
    taken: set[int] = set()
    for alike, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if alike >= SAME and found[i] is None and j not in taken:
            found[i] = modes[j]
            taken.add(j)
    return found


def likeness(first: Sequence[str], second: Sequence[str], same_component: bool) -> float:
    """How alike two sets of templates are, 0 to 1: the share of words that their nearest two have in common."""
    best = 0.0
    for one in first:
        for other in second:
            if one == other:
                return 1.0 if same_component else 0.95
            left, right = set(one.split()) - {"#"}, set(other.split()) - {"#"}
            if left | right:
                best = max(best, len(left & right) / len(left | right))
    return best if same_component else best * 0.8


def _new(modes: Sequence[Mapping[str, Any]], cohort: Cohort, run_id: str) -> dict[str, Any]:
    number = 1 + max((int(str(mode["id"]).rpartition("-")[2]) for mode in modes), default=0)
    return {
        "id": f"fm-{number:03d}",
        "name": cohort.name,
        "component": cohort.component,
        "templates": list(cohort.templates),
        "state": "new",
        "made_by": run_id,
        "runs": [],
    }


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        found = cast("dict[str, Any]", json.loads(path.read_text()))
        modes = cast("list[dict[str, Any]]", found["modes"])
        for mode in modes:
            int(str(mode["id"]).rpartition("-")[2])
            _ = (mode["templates"], mode["component"], mode["state"], mode["made_by"], list(mode["runs"]))
        return modes
    except (ValueError, KeyError, TypeError) as error:
        raise Broken(
            "the list of failure modes is unreadable", got=str(path), fix=f"move {path} away: it is begun anew"
        ) from error


def _page(modes: Sequence[Mapping[str, Any]]) -> str:
    lines = ["# Failure modes", "", "Ids stay over runs.", "", "| id | state | failure | last run | items |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for mode in sorted(modes, key=lambda one: (one["state"] == "gone", one["id"])):
        last = mode["runs"][-1]
        name = one_line(str(mode["name"]), 120).replace("|", "/").replace("`", "'")
        lines.append(f"| {mode['id']} | {mode['state']} | {name} | {last['run']} | {last['items']} of {last['of']} |")
    return "\n".join(lines) + "\n"
