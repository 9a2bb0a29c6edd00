"""Samples, and reading them as ``pilothouse import`` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pilothouse.imports.formats import FORMATS
from pilothouse.imports.sources import Source, find
from pilothouse.imports.trajectory import Item, Scored, Skipped, Step

SAMPLES = Path(__file__).parent / "samples"


def source(path: Path) -> Source:
    """A file as it is found when it is named."""
    (found,) = find([path], ())
    return found


def read(form: str, path: Path) -> list[Item]:
    """Everything a file is read into."""
    return list(FORMATS[form].read(source(path)))


def read_text(form: str, folder: Path, text: str | bytes, name: str = "file.json") -> list[Item]:
    """Everything a text is read into."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read(form, path)


def steps(items: list[Item], kind: str = "") -> list[Step]:
    """The steps, of one kind where one is given, in order of time."""
    found = [item for item in items if isinstance(item, Step) and kind in ("", item.kind)]
    return sorted(found, key=lambda step: (step.start_ns, step.id))


def scores(items: list[Item]) -> list[Scored]:
    return [item for item in items if isinstance(item, Scored)]


def skipped(items: list[Item]) -> list[Skipped]:
    return [item for item in items if isinstance(item, Skipped)]


def conversation(step: Step) -> list[tuple[str, str]]:
    """What a call was sent: who said what, in short."""
    return [short(json.loads(message)) for message in step.input]


def answer(step: Step) -> list[tuple[str, str]]:
    return [short(json.loads(message)) for message in step.output]


def short(message: dict[str, Any]) -> tuple[str, str]:
    texts: list[str] = []
    for part in message["parts"]:
        match part["type"]:
            case "text":
                texts.append(part["content"])
            case "reasoning":
                texts.append(f"({part['content']})")
            case "tool_call":
                texts.append(f"{part['name']}#{part['id']}")
            case "tool_call_response":
                texts.append(f"#{part['id']}={part['response']}")
            case other:
                texts.append(f"[{other}]")
    return message["role"], " ".join(texts)
