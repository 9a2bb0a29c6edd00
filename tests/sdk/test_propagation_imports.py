"""A module can be changed right after its import, without being imported, and without anybody noticing."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pilothouse.sdk.on_import import when_imported


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "boat_package").mkdir()
    (tmp_path / "boat_package/__init__.py").write_text("from . import hull\n")
    (tmp_path / "boat_package/hull.py").write_text("size = 7\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("boat_package")]:
        del sys.modules[name]


def test_the_action_waits_for_the_import_and_sees_the_finished_module(folder: Path) -> None:
    seen: list[int] = []
    when_imported("boat_package.hull", lambda module: seen.append(module.size))
    assert "boat_package" not in sys.modules
    assert seen == []
    importlib.import_module("boat_package")
    assert seen == [7]
    when_imported("boat_package.hull", lambda module: seen.append(module.size + 1))
    assert seen == [7, 8]


def test_the_module_looks_as_if_nobody_had_watched(folder: Path) -> None:
    when_imported("boat_package.hull", lambda module: setattr(module, "size", 9))
    hull = importlib.import_module("boat_package.hull")
    assert hull.size == 9
    assert type(hull.__loader__).__name__ == type(hull.__spec__.loader).__name__ == "SourceFileLoader"
    assert inspect.getsource(hull) == "size = 7\n"


def test_an_action_that_fails_leaves_the_import_alone(folder: Path) -> None:
    def fail(module: ModuleType) -> None:
        raise RuntimeError("another version")

    when_imported("boat_package.hull", fail)
    assert importlib.import_module("boat_package.hull").size == 7


def test_a_module_that_does_not_exist_still_does_not(folder: Path) -> None:
    when_imported("boat_package.rudder", lambda module: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("boat_package.rudder")
