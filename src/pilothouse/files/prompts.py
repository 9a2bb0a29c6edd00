"""The exact input of each model call, as what changed since the call before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pilothouse.records.harmless import label
from pilothouse.store.content_reads import StoredContent
from pilothouse.traces.detail import message_view
from pilothouse.traces.jsons import dumps
from pilothouse.traces.model import Span
from pilothouse.traces.scripts import message_words
from pilothouse.traces.text import clean

from .binaries import lift
from .export_file import ExportFile

_SHOWN_CHARS = 20_000
"""Characters of one message that a prompt file shows; the message's payload has all of it."""


class Prompts:
    """Writes ``prompts/NNN.md``: messages that a call shares with the one before it are named, new ones are shown."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        # By agent: the calls of parallel agents are no continuation of each other.
        self._before: dict[str, tuple[str, list[str]]] = {}

    def files(self, span: Span, row: Mapping[str, Any], found: Mapping[str, StoredContent]) -> Iterator[ExportFile]:
        """The file of one model call."""
        refs: list[str] = row["input_refs"]
        if not refs:
            return
        step = f"{span.step:03d}"
        earlier_step, earlier = self._before.get(span.agent, ("", []))
        same = 0
        while same < min(len(refs), len(earlier)) and refs[same] == earlier[same]:
            same += 1
        lines = [f"# prompt of step={step} model={label(span.model, 80)} span={span.span_id} messages={len(refs)}"]
        parameters = row["parameters"]
        if parameters:
            lines.append(f"parameters={dumps(parameters).decode()}")
        if same:
            lines.append(f"= messages 1-{same} unchanged from call {earlier_step} (prompts/{earlier_step}.md)")
        dropped = [ref[:12] for ref in earlier[same:] if ref not in refs]
        if dropped:
            lines.append(f"- {len(dropped)} messages of call {earlier_step} are gone: {' '.join(dropped[:20])}")
        for place, ref in enumerate(refs[same:], same + 1):
            view = message_view(ref, found.get(ref))
            words, _ = lift(clean(message_words(view)))
            lines.append(
                f"\n+ message {place} id={ref[:12]} role={label(view.role, 40) or 'unknown'} chars={len(words)}\n"
            )
            # Indented as a block: no line of content can pass for a heading of ours.
            lines.extend(f"    {line}" for line in words[:_SHOWN_CHARS].split("\n"))
            if len(words) > _SHOWN_CHARS:
                lines.append(f"    … +{len(words) - _SHOWN_CHARS} characters: messages.jsonl, id {ref[:12]}")
        self._before[span.agent] = (step, refs)
        yield ExportFile(path=f"{self._folder}/prompts/{step}.md", text="\n".join(lines) + "\n")
