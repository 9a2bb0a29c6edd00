"""File and line of what is decorated: read once, on every span of it."""

from __future__ import annotations

import asyncio
import functools
import inspect
from pathlib import Path
from typing import Any

import pytest

import pilothouse
from pilothouse.sdk.code import code_of

from .conftest import Recorded


@pilothouse.tool
def look(place: str) -> str:
    return place


@pilothouse.agent(name="desk")
async def desk(question: str) -> str:
    return ask(question) + look("there")


@pilothouse.model_call(model="gpt-x")
def ask(question: str) -> str:
    return question


def test_every_span_says_where_its_function_stands(recorded: Recorded) -> None:
    asyncio.run(desk("why?"))
    look("here")
    here = Path(__file__)
    for span in recorded.spans:
        said = dict(span.attributes or {})
        file, line = str(said["code.file.path"]), int(str(said["code.line.number"]))
        assert not Path(file).is_absolute() and here.as_posix().endswith(file)
        name = str(said["code.function.name"])
        assert here.read_text().splitlines()[line - 1].startswith("@pilothouse.")
        assert f"def {name}(" in here.read_text().splitlines()[line]
    assert sorted(str((span.attributes or {})["code.function.name"]) for span in recorded.spans) == [
        *("ask", "desk", "look", "look"),
    ]


def test_behind_wrappers_partials_methods_and_objects() -> None:
    class Tool:
        def __call__(self) -> None: ...
        def method(self) -> None: ...

    def plain() -> None: ...

    @functools.wraps(plain)
    def wrapper() -> None: ...

    def line(function: Any) -> int:
        return inspect.getsourcelines(function)[1]

    assert code_of(wrapper)["code.line.number"] == line(plain)
    assert code_of(functools.partial(plain))["code.line.number"] == line(plain)
    assert code_of(Tool().method)["code.line.number"] == line(Tool.method)
    assert code_of(Tool())["code.line.number"] == line(Tool.__call__)


def test_what_has_no_file_has_no_place_and_no_error() -> None:
    class Trap:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    for odd in (len, None, 7, Trap()):
        assert code_of(odd) == {}


def test_modules_elsewhere_are_named_from_where_they_were_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shopkit").mkdir()
    (tmp_path / "shopkit/__init__.py").write_text("")
    (tmp_path / "shopkit/pay.py").write_text("def pay():\n    return 1\n")
    import importlib

    module = importlib.import_module("shopkit.pay")
    assert code_of(module.pay)["code.file.path"] == "shopkit/pay.py"
