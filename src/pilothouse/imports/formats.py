"""The formats there are, and reading a file of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from .sources import Source, TooMuch, find
from .trajectory import Foreign, Item, Skipped

Read = Callable[[Source], Iterator[Item]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: what its files are called, and who reads them."""

    name: str
    endings: tuple[str, ...]
    """Of files that are looked at in a folder; ``.gz`` may follow."""
    module: str
    service: str
    """The service its spans belong to."""
    about: str

    def read(self, source: Source) -> Iterator[Item]:
        """The steps of a file; whatever is wrong with it is one of the items, or :class:`Foreign`."""
        reader = cast("Read", import_module(f"pilothouse.imports.{self.module}").read)
        try:
            yield from reader(source)
        except TooMuch as error:
            yield Skipped(where=source.name, reason=str(error))
        except RecursionError:
            yield Skipped(where=source.name, reason="nested too deep")
        except OSError as error:
            yield Skipped(where=source.name, reason=error.strerror or type(error).__name__)

    def find(self, paths: Sequence[Path]) -> Iterator[Source]:
        """The files that might be of this format."""
        return find(paths, self.endings)


FORMATS = {
    form.name: form
    for form in (
        Format(
            name="claude",
            endings=(".jsonl",),
            module="claude",
            service="claude-code",
            about="Claude Code transcripts, sub-agents included",
        ),
        Format(
            name="codex",
            endings=(".jsonl",),
            module="codex",
            service="codex",
            about="Codex rollouts, sub-agents included",
        ),
        Format(
            name="atif",
            endings=(".json", ".jsonl"),
            module="atif",
            service="atif",
            about="Agent Trajectory Interchange Format, v1.x",
        ),
        Format(
            name="inspect",
            endings=(".eval", ".json"),
            module="inspect_logs",
            service="inspect",
            about="Inspect evaluation logs",
        ),
        Format(
            name="swe-agent",
            endings=(".traj", ".traj.json"),
            module="swe_agent",
            service="swe-agent",
            about="SWE-agent and mini-swe-agent trajectories",
        ),
        Format(
            name="otlp",
            endings=(".json", ".jsonl", ".ndjson", ".pb", ".binpb", ".otlp", ".proto"),
            module="otlp_files",
            service="otlp",
            about="OTLP requests: JSON, JSON lines, protobuf",
        ),
    )
}
"""Every format by the name it has on the command line."""

__all__ = ["FORMATS", "Foreign", "Format"]
