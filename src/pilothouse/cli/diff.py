"""``diff``: two traces side by side, where they part and what led to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from .help import command
from .root import Run
from .terminal import count, duration, one_line, table

_MARKS = {"same": " ", "changed": "~", "only_a": "-", "only_b": "+", "moved": "m"}
_SAME_SHOWN = 80


@command(
    "diff",
    examples=(
        "pilothouse diff 4bf92f35 last",
        "pilothouse diff 4bf92f35 last-error --step 14",
        "pilothouse diff 4bf92f35 a1b2c3d4 --step b9 --json",
    ),
    keys="data: diff: totals divergence before detail; items[]: rows, and runs of equal ones; next_row is for --after",
)
@click.argument("a")
@click.argument("b")
@click.option("--step", default="", metavar="N", help="this step of A in full; bN: of B; default: where they part")
@click.option("--after", default=0, metavar="ROW", help="rows after this one")
@click.option("--whole", is_flag=True, help="equal rows too, not folded")
@click.pass_obj
def diff(run: Run, a: str, b: str, step: str, after: int, whole: bool) -> None:
    """Align two traces step by step; the first decision that differs is shown in full."""
    answer = run.client.get(
        "/traces/diff", {"a": a, "b": b, "step": step, "after": after or "", "whole": "true" if whole else ""}
    )
    if run.settings.json and run.settings.out is None:
        answer = {**answer, "data": _brief(answer["data"])}
    run.output.envelope(answer, human=_lines)


def _brief(page: dict[str, Any]) -> dict[str, Any]:
    """The same without what can be seen in each trace's own row."""
    short = ("trace_id", "agent", "status", "root_name", "start_time")
    found = page["diff"]
    slim = {name: {key: found[name][key] for key in short} for name in ("a", "b")}
    return {**page, "diff": {**found, **slim}}


def _lines(page: dict[str, Any]) -> Iterable[str]:
    found = page["diff"]
    for name in ("a", "b"):
        row = found[name]
        yield f"{name}  {row['trace_id'][:12]}  {row['agent'] or row['root_name']}  {row['status']}  {row['start_time']}"
    yield from found["notes"]
    yield ""
    rows = ((t["name"], _figure(t, "a"), _figure(t, "b"), _delta(t)) for t in found["totals"] if t["a"] or t["b"])
    yield from table(("", "a", "b", "delta"), rows, right="a b delta")
    for name, signals in (("gained", found["signals_gained"]), ("lost", found["signals_lost"])):
        if signals:
            yield f"signals {name}: {', '.join(signals)}"
    yield ""
    yield from _parting(found)
    if found["detail"]:
        yield ""
        yield from _detail(found["detail"])
    yield ""
    yield f"{page['rows']:,} rows, {found['same']:,} the same   (~ differs  - only a  + only b  m elsewhere; tokens, took: b less a)"
    yield from _rows(page["items"])


def _parting(found: Mapping[str, Any]) -> Iterable[str]:
    first, action = found["divergence"], found["action_divergence"]
    if first is None:
        yield "no decision differs"
        return
    yield f"first divergence: row {first['row']}, {first['kind']}: {first['what']}"
    if action and action != first:
        yield f"first other action: row {action['row']}, {action['kind']}: {action['what']}"
    if found["before"]:
        yield f"differing before it, decisions aside: rows {', '.join(map(str, found['before']))}"


def _detail(detail: Mapping[str, Any]) -> Iterable[str]:
    row = detail["row"]
    steps = [f"step {row[name]['step']:03d} of {name}" for name in ("a", "b") if row[name]]
    side = row["a"] or row["b"]
    yield f"row {row['row']}: {' and '.join(steps)}, {side['kind']} {side['label']}"
    yield from detail["notes"]
    for title in ("decision", "arguments", "result"):
        if any(segment["op"] != "same" for segment in detail[title]):
            yield f"--- {title}   [-only a-] {{+only b+}}"
            yield from _text(detail[title]).split("\n")
    changed = [entry for entry in detail["prompt"] if entry["op"] != "same"]
    if changed:
        yield "--- prompt"
        for entry in detail["prompt"]:
            yield from _entry(entry)
    elif detail["prompt"]:
        yield f"the prompts are the same ({sum(entry['count'] for entry in detail['prompt'])} messages)"
    for title in ("tools", "parameters"):
        for change in detail[title]:
            yield f"{title}: {change['name']}: a {_value(change['a'])}, b {_value(change['b'])}"


def _value(value: object) -> str:
    return "has none" if value is None else one_line(str(value), 120)


def _entry(entry: Mapping[str, Any]) -> Iterable[str]:
    if entry["op"] == "same":
        yield f"  = {entry['count']} messages the same"
        return
    yield f"  {_MARKS[entry['op']]} {entry['role']} ({entry['chars_a']:,} and {entry['chars_b']:,} characters)"
    yield from (f"      {line}" for line in _text(entry["text"]).split("\n"))


def _text(segments: Sequence[Mapping[str, str]]) -> str:
    """A text with its changes; long stretches that are the same show their ends."""
    pieces: list[str] = []
    for place, segment in enumerate(segments):
        text = segment["text"]
        if segment["op"] == "a":
            text = f"[-{text}-]"
        elif segment["op"] == "b":
            text = f"{{+{text}+}}"
        elif len(text) > 2 * _SAME_SHOWN + 20:
            head = text[:_SAME_SHOWN] if place else ""
            tail = text[-_SAME_SHOWN:] if place < len(segments) - 1 else ""
            text = f"{head} …{len(text) - len(head) - len(tail):,} characters the same… {tail}"
        pieces.append(text)
    return "".join(pieces)


def _figure(total: Mapping[str, Any], side: str) -> str:
    return _written(total["unit"], total[side])


def _written(unit: str, value: float | None) -> str:
    if value is None:
        return "?"
    if unit == "ms":
        return duration(value)
    return f"${value:.6f}".rstrip("0").rstrip(".") if unit == "usd" else count(round(value))


def _delta(total: Mapping[str, Any]) -> str:
    return "?" if total["delta"] is None else _signed(total["unit"], total["delta"])


def _signed(unit: str, delta: float) -> str:
    return ("+" if delta > 0 else "-" if delta < 0 else "") + _written(unit, abs(delta))


def _rows(items: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    rows: list[tuple[object, ...]] = []
    for item in items:
        if "same" in item:
            fold = f"… {item['same']:,} the same, rows {item['first_row']} to {item['last_row']}"
            rows.append(("", "", "", "", fold, "", "", "", ""))
            continue
        a, b = item["a"], item["b"]
        side = a or b
        rows.append(
            (
                item["row"],
                _MARKS[item["state"]],
                a["step"] if a else "",
                b["step"] if b else "",
                "  " * min(item["depth"], 8) + f"{side['kind']} {side['label']}",
                _more(a, b, "tokens", "tokens"),
                _more(a, b, "duration_ms", "ms"),
                ",".join(item["differs"]),
                a["head"] if a and b and a["head"] == b["head"] else _both(a, b),
            )
        )
    heads = ("row", "", "a", "b", "what", "tokens", "took", "differs", "says")
    yield from table(heads, rows, right="row a b tokens took")


def _more(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, name: str, unit: str) -> str:
    """How much more b has of something; nothing where it is the same."""
    if not a or not b or a[name] == b[name]:
        return ""
    return _signed(unit, b[name] - a[name])


def _both(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    if a and b:
        return f"{one_line(a['head'], 60)} | {one_line(b['head'], 60)}"
    return str((a or b or {}).get("head", ""))
