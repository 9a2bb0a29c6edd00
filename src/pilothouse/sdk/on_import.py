"""Do something to a module right after its first import, without importing it."""

from __future__ import annotations

import contextlib
import importlib.abc
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], object]

_lock = threading.Lock()
_waiting: dict[str, list[Action]] = {}


def when_imported(name: str, action: Action) -> None:
    """Call ``action(module)`` as soon as the module of that name has been imported: at once where it is already.

    What an action raises is swallowed: a library of another version is used as if nobody watched.
    """
    with _lock:
        module = sys.modules.get(name)
        if module is None or _is_loading(module):
            _waiting.setdefault(name, []).append(action)
            if _FINDER not in sys.meta_path:
                sys.meta_path.insert(0, _FINDER)
            return
    _act(action, module)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _act(action: Action, module: ModuleType) -> None:
    with contextlib.suppress(Exception):
        action(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the other finders find, and puts a loader around the modules that are waited for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Readers of sources and resources look at these: they must find the loader that knows.
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        with _lock:
            actions = _waiting.pop(module.__name__, [])
        for action in actions:
            _act(action, module)


_FINDER = _Finder()
