"""From a step to the code that made it: the file and the line, as its sender or its stack trace says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pilothouse.store import TraceStore
from pilothouse.store.code_reads import code_attributes
from pilothouse.store.trace_reads import Stretch

from .model import CodePlace

_FILES = ("code.file.path", "code.filepath")
_LINES = ("code.line.number", "code.lineno")
_FUNCTIONS = ("code.function.name", "code.function")
_ROOTS = ("process.working_directory",)
_CHARS = 300
_TAIL = 4
"""Folders of a path that is kept where nothing says below which one the program lies."""
_LIBRARIES = ("site-packages/", "dist-packages/", "node_modules/")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/|\\\\|~")
_PYTHON = re.compile(r'^\s{0,8}File "([^"\n]{1,400})", line (\d{1,7}), in ([^\n]{1,200})', re.MULTILINE)
_NODE = re.compile(
    r"^\s{0,8}at (?:([^\s(]{1,200}) \()?(?:file://)?([^\s():]{1,400}):(\d{1,7}):\d{1,7}\)?", re.MULTILINE
)
_ABOVE_MAX = 30


def code_place(attributes: Mapping[str, Any], resource: Mapping[str, str], stack: str = "") -> CodePlace | None:
    """Where a span was made: its ``code.*`` attributes of any age, else the innermost own frame of its stack trace."""
    root = _first(resource, _ROOTS)
    file = short_path(_first(attributes, _FILES), root)
    if file:
        number = _first(attributes, _LINES)
        function = _first(attributes, _FUNCTIONS)
        space = str(attributes.get("code.namespace", ""))
        if space and "code.function.name" not in attributes and function:
            function = f"{space}.{function}"
        line = int(number) if number.isdecimal() and len(number) < 9 else 0
        return CodePlace(file=file, line=line, function=function[:_CHARS], found="attributes")
    return _from_stack(stack, root) if stack else None


def places(
    store: TraceStore, project: str, trace_id: str, stretch: Stretch, span_ids: Sequence[str]
) -> dict[str, CodePlace]:
    """Where some steps of a trace were made, by span id; those of which nothing is known are left out."""
    found = code_attributes(store, project, trace_id, stretch, span_ids)
    told = {id: code_place(row["attributes"], row["resource"], row["error_stack"]) for id, row in found.items()}
    return {id: place for id, place in told.items() if place is not None}


def above(span_id: str, parents: Mapping[str, str]) -> list[str]:
    """The steps around one, the nearest first, at most 30."""
    line: list[str] = []
    at = parents.get(span_id, "")
    while at in parents and at not in line and len(line) < _ABOVE_MAX:
        line.append(at)
        at = parents[at]
    return line


def short_path(path: str, root: str = "") -> str:
    """A path without what is true of one machine alone: below the root, below the library's folder, or its last parts.

    Never absolute, and never out of where it starts.
    """
    plain = path.strip().removeprefix("file://").replace("\\", "/")
    if not plain or plain.startswith("<"):
        return ""
    base = root.replace("\\", "/").rstrip("/")
    if base and plain.startswith(base + "/"):
        plain = plain[len(base) + 1 :]
    elif library := next((name for name in _LIBRARIES if name in plain), ""):
        plain = plain[plain.rindex(library) + len(library) :]
    elif _ABSOLUTE.match(plain):
        plain = "/".join(plain.split("/")[-_TAIL:])
    parts = [part for part in plain.split("/") if part not in ("", ".", "..", "~") and not part.endswith(":")]
    return "".join(c if c.isprintable() else "?" for c in "/".join(parts))[-_CHARS:]


def _from_stack(stack: str, root: str) -> CodePlace | None:
    python = [(file, line, function) for file, line, function in _PYTHON.findall(stack[-30_000:])]
    # A Python trace ends with where it happened, one of Node begins with it.
    frames = python[::-1] or [(file, line, function) for function, file, line in _NODE.findall(stack[:30_000])]
    own = [frame for frame in frames if not frame[0].startswith(("<", "node:")) and not _is_library(frame[0])]
    for file, line, function in own or frames:
        if named := short_path(file, root):
            return CodePlace(file=named, line=int(line), function=function.strip()[:_CHARS], found="stack")
    return None


def _is_library(file: str) -> bool:
    plain = file.replace("\\", "/")
    return any(name in plain for name in _LIBRARIES) or re.search(r"/lib/python3\.\d+/", plain) is not None


def _first(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(values[name]) for name in names if values.get(name) not in (None, "")), "")
