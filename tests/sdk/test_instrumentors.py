"""Installed instrumentors are switched on for our provider: one for each library, and a broken one breaks nothing."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pilothouse
from pilothouse.records import BadRequest
from pilothouse.sdk import instrumentors

from .conftest import Start


def entry(name: str, value: str, *needs: str) -> EntryPoint:
    made = EntryPoint(name=name, value=value, group=instrumentors.GROUP)
    return made._for(type("Dist", (), {"requires": list(needs)})())  # type: ignore[attr-defined]


OPENINFERENCE = entry("openai", "openinference.instrumentation.openai:OpenAIInstrumentor")
GENAI = entry("openai", "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor")
CONTRIB = entry("openai", "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor")
OPENLLMETRY = entry(
    "openai", "opentelemetry.instrumentation.openai:OpenAIInstrumentor", "opentelemetry-semantic-conventions-ai<1"
)
REQUESTS = entry("requests", "opentelemetry.instrumentation.requests:RequestsInstrumentor")


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        ([OPENLLMETRY, CONTRIB, GENAI, OPENINFERENCE, REQUESTS], {"openai": OPENINFERENCE}),
        ([OPENLLMETRY, GENAI, REQUESTS], {"openai": GENAI}),
        ([CONTRIB, OPENLLMETRY], {"openai": CONTRIB}),
        ([OPENLLMETRY], {"openai": OPENLLMETRY}),
        ([REQUESTS], {}),
    ],
)
def test_one_instrumentor_is_chosen_for_a_library(installed: list[EntryPoint], chosen: dict[str, EntryPoint]) -> None:
    assert instrumentors.choose(installed) == chosen
    assert instrumentors.choose(reversed(installed)) == chosen


def test_what_is_installed_here_is_known() -> None:
    found = instrumentors.choose(entry_points(group=instrumentors.GROUP))
    assert {library: point.value.split(".")[0] for library, point in found.items()} == {
        "anthropic": "openinference",
        "openai": "openinference",
    }


def test_a_broken_instrumentor_is_named_and_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    broken = EntryPoint(name="broken", value="no.such.module:Instrumentor", group=instrumentors.GROUP)
    monkeypatch.setattr(instrumentors, "choose", lambda _: {"json": broken})
    start(instrument="auto")
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "the instrumentor no.such.module:Instrumentor could not be switched on"
    ]


def test_an_unknown_library_is_refused(start: Start) -> None:
    with pytest.raises(BadRequest, match="no instrumentor is installed"):
        start(instrument=["no_such_library"])
    pilothouse.shutdown(0.2)
    with pytest.raises(BadRequest, match="auto, False or a list"):
        start(instrument="openai")


def test_instrumentors_are_switched_off_at_the_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Instrumentor:
        def instrument(self, **options: Any) -> None:
            seen.append(options["tracer_provider"])

        def uninstrument(self) -> None:
            seen.append("off")

    module = ModuleType("some_instrumentor")
    module.Instrumentor = Instrumentor  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "some_instrumentor", module)
    point = EntryPoint(name="x", value="some_instrumentor:Instrumentor", group=instrumentors.GROUP)
    monkeypatch.setattr(instrumentors, "choose", lambda _: {"json": point})
    start(instrument="auto")
    provider = pilothouse.init().provider
    pilothouse.shutdown(0.2)
    assert seen == [provider, "off"]
