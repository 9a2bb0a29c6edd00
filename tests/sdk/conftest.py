"""A recorder for each test, and what it recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import pilothouse


class Recorded:
    """The spans that ended, by name."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        """All of them, in the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """The one span of a name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, (name, [span.name for span in self.spans])
        return found[0]

    def attributes(self, name: str) -> dict[str, Any]:
        """The attributes of the one span of a name."""
        return dict(self.span(name).attributes or {})

    def json(self, name: str, key: str) -> Any:
        """An attribute that holds JSON."""
        return json.loads(self.attributes(name)[key])

    def parent(self, name: str) -> str:
        """The name of the parent of the one span of a name; empty for a root."""
        parent = self.span(name).parent
        if parent is None:
            return ""
        return next((span.name for span in self.spans if _id(span) == parent.span_id), "?")

    def tree(self) -> list[str]:
        """Every span as ``parent > name``."""
        by_id = {_id(span): span.name for span in self.spans}
        return sorted(
            f"{by_id.get(span.parent.span_id, '?') if span.parent else ''} > {span.name}" for span in self.spans
        )


def _id(span: ReadableSpan) -> int:
    where = span.get_span_context()
    assert where is not None
    return where.span_id


Start = Callable[..., Recorded]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a recorder whose server is away, and keep its spans in memory."""

    def begin(**settings: Any) -> Recorded:
        given = {"service": "test", "endpoint": "http://127.0.0.1:9", "spill_dir": tmp_path / "spill"}
        recorder = pilothouse.init(**{"instrument": False, **given, **settings})
        exporter = InMemorySpanExporter()
        recorder.provider.add_span_processor(SimpleSpanProcessor(exporter))
        return Recorded(exporter)

    yield begin
    pilothouse.shutdown(0.2)


@pytest.fixture
def recorded(start: Start) -> Recorded:
    """A recorder with its defaults."""
    return start()
