"""A package's front door: what ``__all__`` promises is there, and what is imported there is promised."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from .sources import SOURCE, files, tree

FRONT_DOORS = [path for path in files() if path.name == "__init__.py" and "__all__" in path.read_text()]


def promised(path: Path) -> list[str]:
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(item) for item in ast.literal_eval(node.value)]
    return []


def module_of(path: Path) -> str:
    return ".".join(["pilothouse", *path.relative_to(SOURCE).parts[:-1]])


@pytest.mark.parametrize("path", FRONT_DOORS, ids=module_of)
def test_what_is_promised_is_there(path: Path) -> None:
    module = importlib.import_module(module_of(path))
    missing = [name for name in promised(path) if not hasattr(module, name)]
    assert missing == []
    assert len(set(promised(path))) == len(promised(path))


@pytest.mark.parametrize("path", FRONT_DOORS, ids=module_of)
def test_what_is_imported_at_the_front_door_is_promised_or_used_there(path: Path) -> None:
    names = [
        alias.asname or alias.name
        for node in tree(path).body
        if isinstance(node, ast.ImportFrom) and node.level > 0
        for alias in node.names
    ]
    used = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    assert sorted(set(names) - set(promised(path)) - used) == []


def test_every_package_says_in_a_sentence_what_it_is() -> None:
    silent = [
        str(path.relative_to(SOURCE))
        for path in files()
        if not ast.get_docstring(tree(path)) and path.read_text().strip()
    ]
    assert silent == [] or silent == ["__init__.py"]
