"""What a worker is given: the playbook's words, the item as fenced data, where its files lie, and what to answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .fence import Fence
from .playbook import Playbook
from .run_record import Job

_CHARS_A_TOKEN = 3
_INLINE = (("trace.md", 0.4), ("tree.txt", 0.2), ("transcript.md", 1.0))
"""Files that stand in the prompt, and the share of what room is left that each may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One reading to be done."""

    job: Job
    playbook: Playbook
    export: Path
    folders: tuple[str, ...]
    """Where the item's files lie, relative to the export."""
    work: Path
    """A folder of this attempt's own."""
    prompt: str
    repair: tuple[str, ...] = ()
    """What was wrong with the answer before, where this is its correction."""
    before: str = ""
    """That answer."""

    @property
    def answer_file(self) -> Path:
        """Where a worker may put its answer instead of printing it."""
        return self.work / "answer.json"


def make_task(
    job: Job, playbook: Playbook, export: Path, folders: Sequence[str], work: Path, *, fence: Fence | None = None
) -> Task:
    """The task of one attempt."""
    fence = fence or Fence()
    text = prompt(job, playbook, export, folders, work / "answer.json", fence)
    return Task(job=job, playbook=playbook, export=export, folders=tuple(folders), work=work, prompt=text)


def with_repair(task: Task, wrong: Sequence[str], before: str) -> Task:
    """The same task once more, with what was wrong with the answer."""
    fence = Fence()
    listed = "\n".join(f"- {fence.around(problem)}" for problem in wrong)
    text = (
        f"{task.prompt}\n\n# Your answer was not accepted\n\n{fence.rule}\n\nYou answered:\n"
        f"{fence.around(before[:20_000])}\n\nWhat does not fit:\n{listed}\n\nGive the whole answer again, corrected.\n"
    )
    return replace(task, prompt=text, repair=tuple(wrong), before=before)


def prompt(job: Job, playbook: Playbook, export: Path, folders: Sequence[str], answer_file: Path, fence: Fence) -> str:
    """The words a worker gets."""
    room = playbook.per_item_tokens * _CHARS_A_TOKEN
    second = (
        "\nYou are the second reader of this item: read it on your own; the first reader's answer is kept from you.\n"
        if job.reader == "second"
        else ""
    )
    schema = json.dumps(playbook.schema, indent=1, ensure_ascii=False)
    head = f"""# Task: read one {playbook.item} and answer in JSON

{fence.rule}
{second}
{playbook.instructions}

# Answer

One JSON object that fits this schema, printed as the last thing you say{_or_written(answer_file)}:

```json
{schema}
```

A quote in `evidence` stands word for word in the line that is named; files are named relative to the export's folder.

# Item {job.item.id}

Its files, in the export's folder: {", ".join(f"{folder}/" for folder in folders)}
(`spans.jsonl`: a step a line; `messages.jsonl`: what was said; `transcript.md`; `payloads/`: long values whole)
"""
    parts = [head]
    left = max(2_000, room - len(head))
    for folder in folders:
        for name, share in _INLINE:
            text = _beginning(export / folder / name, int(left * share / len(folders)))
            if text:
                parts.append(f"\n## {folder}/{name}\n\n{fence.around(text)}\n")
                left -= len(text)
    return "".join(parts)


def _or_written(answer_file: Path) -> str:
    return f" or written to {answer_file}"


def _beginning(path: Path, chars: int) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(chars + 1)
    except OSError:
        return ""
    if len(text) <= chars:
        return text.rstrip("\n")
    return text[:chars].rsplit("\n", 1)[0] + f"\n… cut at {chars:,} characters; the file has the rest"
