"""Files of other tools read item by item: YAML and JSON documents, lines, tables. Only one item is held at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals.plain import mapping_of
from pilothouse.records import BadRequest, NotFound, TooLarge
from pilothouse.records.plain_yaml import yaml_items

from .model import ITEM_BYTES_MAX, Unread

FILE_BYTES_MAX: Final = 4 << 30
_CHUNK: Final = 1 << 20
_SPACE: Final = " \t\r\n"
_DECODER: Final = json.JSONDecoder()


class Document:
    """A YAML or JSON file with one long list of items: the list under ``key``, or the whole file."""

    def __init__(self, path: Path, *key: str) -> None:
        """``key``: the names the list may have."""
        self.path, self._keys = path, key
        sized(path)
        self._json = path.suffix.lower() == ".json"

    def head(self) -> Mapping[str, Any]:
        """All but the items; empty where the file is the list itself."""
        return {name: value for name, value in self._pieces(items=False) if name}

    def items(self) -> Iterator[tuple[str, Any]]:
        """Each item with its place."""
        number = 0
        for name, value in self._pieces(items=True):
            if name == "" or name in self._keys:
                number += 1
                yield f"{name or 'item'} {number}", value

    def _pieces(self, *, items: bool) -> Iterator[tuple[str, Any]]:
        try:
            if self._json:
                with self.path.open(encoding="utf-8-sig") as file:
                    yield from _Json(file, self.path.name, self._keys, items).pieces()
            else:
                with self.path.open("rb") as file:
                    yield from yaml_items(file, self.path.name, self._keys, items=items)
        except UnicodeDecodeError as error:
            raise BadRequest("the file is no UTF-8", got=self.path.name) from error


def sized(path: Path) -> int:
    """The size of a file.

    Raises:
        NotFound: it is not there.
        TooLarge: it passes the bound.
    """
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise NotFound(f"the file cannot be read: {error.strerror}", got=str(path)) from error
    if size > FILE_BYTES_MAX:
        raise TooLarge(f"a file is at most {FILE_BYTES_MAX >> 30} GB", got=f"{size:,} bytes", fix="divide it")
    return size


def json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]] | Unread]:
    """Each object of a file of lines, with its place."""
    sized(path)
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(ITEM_BYTES_MAX + 1):
            number += 1
            where = f"line {number}"
            if len(line) > ITEM_BYTES_MAX:
                yield Unread(where=where, why=f"it is longer than {ITEM_BYTES_MAX >> 20} MB")
                while line and not line.endswith(b"\n"):
                    line = lines.readline(_CHUNK)
                continue
            if not line.strip():
                continue
            try:
                row = mapping_of(json.loads(line.decode("utf-8-sig")))
            except (ValueError, RecursionError):
                yield Unread(where=where, why="it is no JSON")
                continue
            yield (where, row) if row is not None else Unread(where=where, why="it is no object")


def table(path: Path) -> Iterator[tuple[str, Mapping[str, str]] | Unread]:
    """Each row of a table with a head, by the names of its columns.

    Raises:
        BadRequest: it has no head, two columns of one name, or is no UTF-8.
    """
    sized(path)
    csv.field_size_limit(ITEM_BYTES_MAX)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(_CHUNK)
            file.seek(0)
            rows = csv.reader(file, delimiter=_delimiter(first), strict=False)
            head = [name.strip() for name in next(rows, list[str]())]
            named = [name for name in head if name]
            if not named or len(set(named)) != len(named):
                raise BadRequest("the first line names each column once", got=head[:20], fix="input,expected,…")
            for number, cells in enumerate(rows, start=2):
                where = f"row {number}"
                if not any(cells):
                    continue
                if len(cells) > len(head):
                    yield Unread(where=where, why=f"it has {len(cells)} cells, and the head names {len(head)} columns")
                    continue
                yield where, {name: cell for name, cell in zip(head, cells, strict=False) if name and cell}
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadRequest("the table cannot be read", got=str(error), fix="save it as CSV in UTF-8") from error


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


class _Json:
    """One object or list read piece by piece: what is under the keys item by item, all else whole."""

    def __init__(self, file: IO[str], shown: str, keys: tuple[str, ...], items: bool) -> None:
        self._file, self._shown, self._keys, self._items = file, shown, keys, items
        self._text, self._at, self._over = "", 0, False

    def pieces(self) -> Iterator[tuple[str, Any]]:
        first = self._next()
        if first == "[":
            yield from (("", one) for one in self._list())
            return
        if first != "{":
            raise self._wrong("it is neither an object nor a list")
        if self._peek() == "}":
            return
        while True:
            name = self._value()
            if not isinstance(name, str) or self._next() != ":":
                raise self._wrong("a name is missing")
            if name in self._keys and self._peek() == "[":
                self._next()
                for one in self._list():
                    if self._items:
                        yield name, one
            else:
                value = self._value()
                if not self._items:
                    yield name, value
            sign = self._next()
            if sign == "}":
                return
            if sign != ",":
                raise self._wrong("a comma is missing")

    def _list(self) -> Iterator[Any]:
        if self._peek() == "]":
            self._next()
            return
        while True:
            yield self._value()
            sign = self._next()
            if sign == "]":
                return
            if sign != ",":
                raise self._wrong("a comma is missing")

    def _value(self) -> Any:
        self._peek()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                # A number that ends where the text does may go on.
                if end < len(self._text) or self._over:
                    self._at = end
                    return value
            except RecursionError as error:
                raise self._wrong("it is nested too deeply") from error
            except ValueError as error:
                if self._over:
                    raise self._wrong(str(error)) from error
            if len(self._text) - self._at > ITEM_BYTES_MAX:
                raise TooLarge(f"an item is at most {ITEM_BYTES_MAX >> 20} MB", got=self._shown)
            self._more(size)
            # Twice as much each time: a long value is not read again and again.
            size *= 2

    def _next(self) -> str:
        sign = self._peek()
        self._at += 1
        return sign

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._over:
                raise self._wrong("it ends too early")
            self._more(_CHUNK)

    def _more(self, size: int) -> None:
        piece = self._file.read(size)
        self._over = not piece
        self._text, self._at = self._text[self._at :] + piece, 0

    def _wrong(self, why: str) -> BadRequest:
        near = self._text[self._at : self._at + 60]
        return BadRequest(f"{self._shown} is no JSON: {why}", got=near)
