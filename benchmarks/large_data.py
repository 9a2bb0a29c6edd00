"""Large results: what a preview shows at the same number of characters, and what a question costs, beside ``jq`` and ``head``.

Made files of 1, 10 and 100 MB have the shape of a shop's export (nested objects, optional fields, maps by id, texts;
seeded), and the runs of tau-bench are real ones where the fixtures are. Beside our preview stand what people give a model
instead: the first 10,000 characters of the file, and the first lines of it pretty-printed, to as many characters. A path
is a key with all that lead to it, elements of an array taken together; how many of those in the file can be read off a
preview is its coverage.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilothouse.runtime import query_child
from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.query import QueryLimits

from .export_sizes import fixtures_folder

SEED: Final = 20261129
CHARS: Final = 10_000
SIZES_MB: Final = (1, 10, 100)
QUESTIONS: Final = {
    "count": ".orders | length",
    "filter": '[.orders[] | select(.payment.state == "declined")] | length',
    "one value": ".orders[-1].customer.email",
    "group": ".orders | group_by(.payment.state) | map({(.[0].payment.state): length}) | add",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something took."""

    seconds: float
    megabytes: float
    """The most memory its process had."""
    said: str = ""


def orders(count: int, seed: int = SEED) -> dict[str, Any]:
    """A shop's export: so many orders, customers by id beside them."""
    chance = random.Random(seed)
    words = [
        "the",
        "parcel",
        "was",
        "late",
        "and",
        "box",
        "had",
        "been",
        "opened",
        "please",
        "call",
        "me",
        "back",
        "before",
        "noon",
        "thank",
        "you",
        "very",
        "much",
    ]
    made: list[dict[str, Any]] = []
    for number in range(count):
        order: dict[str, Any] = {
            "id": 4_400_000_000_000_000_000 + number,
            "placed_at": f"2026-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:15:00Z",
            "customer": {
                "id": f"c{number % 997}",
                "email": f"customer{number % 997}@example.org",
                "address": {"city": chance.choice(("Oslo", "Lagos", "Lima")), "zip": str(10_000 + number % 9_000)},
            },
            "lines": [
                {"sku": f"sku-{chance.randint(1, 500)}", "quantity": chance.randint(1, 9), "price": {"amount": chance.randint(100, 99_999) / 100, "currency": "EUR"}}
                for _ in range(chance.randint(1, 4))
            ],
            "payment": {"state": "declined" if number % 71 == 3 else "paid", "attempts": [{"at": number, "code": None}]},
            "note": " ".join(chance.choices(words, k=chance.randint(0, 30))),
        }  # fmt: skip
        if number % 50 == 7:
            order["gift"] = {"to": "a friend", "wrap": True}
        if number % 1_000 == 500:
            order["refund"] = {"amount": 12.5, "by": "agent", "reason": {"code": "late", "text": "late"}}
        made.append(order)
    customers = {
        f"c{number}": {"since": 2_000 + number % 26, "tags": ["a", "b"][: number % 3]} for number in range(997)
    }
    return {"exported_at": "2026-11-29T00:00:00Z", "orders": made, "customers": customers, "next_page": None}


def made_file(folder: Path, megabytes: float) -> Path:
    """A file of about so many megabytes."""
    path = folder / f"orders-{megabytes:g}mb.json"
    if not path.exists():
        each = len(json.dumps(orders(500))) / 500
        path.write_text(json.dumps(orders(int(megabytes * 1e6 / each))))
    return path


# -- what a preview shows ----------------------------------------------------------------------------------------------


def paths_of(value: Any) -> set[str]:
    """Every path in a value. Members of a map by id (60 keys or more) are taken together, as elements are."""
    found: set[str] = set()
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        stem, one = waiting.pop()
        if isinstance(one, dict):
            together = len(one) >= 60
            for key, member in one.items():
                name = f"{stem}.*" if together else f"{stem}.{key}"
                found.add(name)
                waiting.append((name, member))
        elif isinstance(one, list):
            waiting += [(f"{stem}[]", member) for member in one]
    return found


def shown_paths(text: str, there: set[str]) -> set[str]:
    """Which of the paths that are there can be read off a beginning of JSON, or off one of our previews."""
    found: set[str] = set()
    stack: list[list[str]] = []
    stem, key = "", ""
    for token in re.finditer(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]', text):
        sign = token.group()
        if sign[0] in "{[":
            stack.append([stem, sign])
            stem = stem + "[]" if sign == "[" else stem
        elif sign in "}]":
            stem = stack.pop()[0] if stack else ""
        elif token.group(2):
            key = token.group(1)
            owner = stack[-1][0] + ("" if stack[-1][1] == "{" else "[]") if stack else ""
            name = f"{owner}.{key}"
            stem = name if name in there else f"{owner}.*"
            found.add(stem)
            if key == "…":
                found |= _named(token.string[token.end() : token.end() + 4_000], f"{owner}.*")
        elif stack and stack[-1][1] == "[":
            found |= _named(sign, f"{stack[-1][0]}[]")
        if token.group(2) is None and sign[0] not in "{[" and stack and stack[-1][1] == "{":
            stem = stack[-1][0]
        elif token.group(2) is None and sign[0] not in "{[" and stack:
            stem = stack[-1][0] + "[]"
    return found & there


def _named(text: str, owner: str) -> set[str]:
    """Paths of the keys that a mark of ours says only some members have."""
    said = re.match(r'\s*"\+ [\d,]+ more, objects; only some have[^:]*: ([^"]*)"', text)
    return {f"{owner}.{key.strip()}" for key in re.findall(r"([^,(]+?) \([\d,]+\)", said.group(1))} if said else set()


def first_lines(raw: bytes, chars: int) -> str:
    """The first lines of the value pretty-printed, whole lines to so many characters."""
    text = json.dumps(json.loads(raw), indent=2)[: chars + 1]
    return text[: text.rfind("\n")] if len(text) > chars else text


# -- what it costs -----------------------------------------------------------------------------------------------------


_LAUNCH = """
import json, os, subprocess, sys
text = sys.stdin.read()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
try:
    process.stdin.write(text)
    process.stdin.close()
except BrokenPipeError:
    pass
said = process.stdout.read()
_, status, used = os.wait4(process.pid, 0)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said.strip()]))
"""


def run(command: list[str], text: str = "") -> Cost:
    """A process: the CPU time it took from its start, and the most memory it had."""
    # By way of a small one: of a process begun by a large one, the system counts the large one's memory.
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCH, *command], input=text, capture_output=True, text=True, check=True
    )
    seconds, megabytes, answer = json.loads(said.stdout)
    return Cost(seconds=seconds, megabytes=megabytes, said=answer)


def _used() -> float:
    """CPU time of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


_KEEP = """
import sys, time
from pathlib import Path
from pilothouse.runtime import query_child
from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.query import QueryLimits
raw = Path(sys.argv[1]).read_bytes()
begun = time.process_time()
answer = DataTools(store=HandleStore(Path(sys.argv[2]))).keep(raw, label="export")
print(time.process_time() - begun)
"""


def report(folder: Path, sizes_mb: tuple[float, ...] = SIZES_MB, rounds: int = 3) -> Iterator[str]:
    """The lines of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{size:g} MB of orders": made_file(folder, size) for size in sizes_mb}
    real = fixtures_folder() / "tau_bench/gpt-4o-airline_10tasks.json"
    if real.is_file():
        files["40 runs of tau-bench"] = real
    else:
        yield "no real file: PILOTHOUSE_FIXTURES names no folder with tau_bench; that part is left out"
    for title, file in files.items():
        raw = file.read_bytes()
        yield f"\n{title} ({len(raw) / 1e6:.1f} MB)"
        yield from _coverage(raw, folder)
        yield from _costs(file, folder, rounds, made=file is not real)


def _coverage(raw: bytes, folder: Path) -> Iterator[str]:
    there = paths_of(json.loads(raw))
    tools = DataTools(store=HandleStore(folder / "values"), chars=CHARS)
    kept = tools.keep(raw, label="export")
    assert kept.handle is not None
    schema = {line.split("  ")[0] for line in tools.schema(kept.handle.id).text.splitlines()}
    text = raw.decode()
    shown = {
        "our preview": (kept.text, shown_paths(kept.text.split("\n", 1)[1], there)),
        f"head -c {CHARS}": (text[:CHARS], shown_paths(text[:CHARS], there)),
        "first lines, pretty": (first_lines(raw, CHARS), shown_paths(first_lines(raw, CHARS), there)),
    }
    for name, (said, paths) in shown.items():
        yield f"  {name:<22}{len(said):>7,} characters show {len(paths):>3} of {len(there)} paths"
    # Here members of a map have one name each, up to 200, before they are told together.
    named = sum(any(_same_path(line, path) for line in schema) for path in there)
    yield f"  {'our schema':<22}{len(tools.schema(kept.handle.id).text):>7,} characters show {named:>3} of {len(there)} paths"


def _same_path(line: str, path: str) -> bool:
    return re.fullmatch(r"(?:\.\[\])?" + re.escape(line).replace(r"<other\ keys>", r"[^.\[]+"), path.replace(".*", ".<other keys>")) is not None or re.sub(
        r"^\.\[\]", "[]", line
    ) == path.replace(".*", ".<other keys>")  # fmt: skip


def _costs(file: Path, folder: Path, rounds: int, *, made: bool) -> Iterator[str]:
    def best(measure: Callable[[], Cost]) -> Cost:
        return min((measure() for _ in range(rounds)), key=lambda cost: cost.seconds)

    def keep() -> Cost:
        shutil.rmtree(folder / "kept", ignore_errors=True)
        cost = run([sys.executable, "-c", _KEEP, str(file), str(folder / "kept")])
        return Cost(seconds=float(cost.said), megabytes=cost.megabytes)

    kept = best(keep)
    yield f"  keep and preview{kept.seconds:>31.2f} s {kept.megabytes:>7,.0f} MB"
    program = shutil.which("jq")
    # What it takes is measured, not where it is stopped.
    limits = QueryLimits(time_s=600, memory_bytes=8 << 30)
    tools = DataTools(store=HandleStore(folder / "values"), chars=CHARS, limits=limits)
    handle = tools.keep(file.read_bytes(), label="export").handle
    assert handle is not None
    questions = QUESTIONS if made else {"count": "length", "filter": "[.[] | select(.reward == 1)] | length"}
    for name, question in questions.items():
        ours = best(lambda question=question: _asked(tools, handle.id, question))
        memory = _memory_of_child(tools, handle.id, question)
        line = f"  jq, {name:<12}ours {ours.seconds:>18.2f} s {memory:>7,.0f} MB"
        if program is not None:
            theirs = best(lambda question=question: run([program, "-c", question, str(file)]))
            same = (
                "the same answer"
                if theirs.said == ours.said
                else f"another answer: {theirs.said[:60]} / {ours.said[:60]}"
            )
            line += f"   jq program {theirs.seconds:>6.2f} s {theirs.megabytes:>7,.0f} MB   {ours.seconds / theirs.seconds:.2f}x, {same}"
        else:
            line += "   (no jq program here)"
        yield line
    hits = best(lambda: _grepped(tools, handle.id))
    yield f"  grep_json{hits.seconds:>38.2f} s   {hits.said}"


def _asked(tools: DataTools, id: str, question: str) -> Cost:
    begun = _used()
    said = tools.jq(id, question).text
    return Cost(seconds=_used() - begun, megabytes=0, said=said)


def _grepped(tools: DataTools, id: str) -> Cost:
    begun = _used()
    said = tools.grep_json(id, "declined|cancel").text.split("\n")[0]
    return Cost(seconds=_used() - begun, megabytes=0, said=said)


def _memory_of_child(tools: DataTools, id: str, question: str) -> float:
    path = tools.store.json_path(tools.store.get(id))
    asked = {"op": "jq", "path": str(path), "program": question, "chars": CHARS, "spill": os.devnull}
    limits = {"spill_bytes": 1 << 30, "memory_bytes": 8 << 30, "cpu_s": 600, "import_paths": sys.path}
    return run([sys.executable, "-I", "-S", query_child.__file__], json.dumps(asked | limits) + "\n").megabytes
