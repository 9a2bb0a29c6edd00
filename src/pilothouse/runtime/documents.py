"""What a tool gave back, as plain data that can be looked into: JSON, JSON lines, CSV, tables, text, bytes.

Nothing is refused, and nothing changes silently: what is not as JSON has it is kept as far as it can be, and said.

- Integers keep every digit; one of more than 4,000 digits is a text. ``NaN`` and ``Infinity`` are numbers, which jq knows
  as null and as the largest there is.
- Of keys that stand twice in one object the last counts, as in every reader of JSON.
- Bytes that are no UTF-8 become U+FFFD; the original bytes stay in the handle.
- JSON nested deeper than the reader goes is text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

Kind = Literal["json", "ndjson", "csv", "text", "binary"]

_PROBE_CHARS: Final = 65_536
_CSV_LINES_MIN: Final = 3
_CSV_FIELD_MAX: Final = 1_000_000
_CONTROL_SHARE_MAX: Final = 0.02
_LINE_STARTS: Final = ("{", "[")
_INTEGER_BITS_MAX: Final = 13_000
"""Python writes none of more than 4,300 digits; larger ones are hexadecimal texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A value with what is known of how it came."""

    kind: Kind
    value: Any
    """Plain data; of text the text, of bytes their description."""
    notes: tuple[str, ...] = ()
    """What was not as it should be, in words."""


def document_of(value: object, *, media_type: str = "") -> tuple[Document, bytes]:
    """What a tool returned, and the bytes to keep: those it came in, else its JSON.

    Text and bytes are read as what they look like. Data frames and tables are read by their own methods
    (``to_pylist``, ``to_dicts``, ``to_dict(orient="records")``), so that neither library is needed here.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(cast("bytes", value))
        return read_document(raw, media_type=media_type), raw
    if isinstance(value, str):
        return _from_text(value.removeprefix("\ufeff"), (), media_type), value.encode("utf-8", "surrogatepass")
    rows = _table_rows(value)
    try:
        plain = jsonable(value if rows is None else rows)
        return Document(kind="json", value=plain), to_bytes(plain)
    except RecursionError:
        note = "nested too deep, or inside itself: kept as Python shows it"
        try:
            text = repr(value)
        except RecursionError:
            text = f"<{type(value).__name__}, nested too deep to be shown>"
        return Document(kind="text", value=text, notes=(note,)), text.encode("utf-8", "surrogatepass")


def read_document(raw: bytes, *, media_type: str = "") -> Document:
    """Bytes as what they look like."""
    if _looks_binary(raw):
        return Document(
            kind="binary", value=_described(raw), notes=("bytes, not text: kept whole, shown by their head",)
        )
    try:
        return _from_text(raw.decode("utf-8-sig"), (), media_type)
    except UnicodeDecodeError as error:
        note = f"not UTF-8 from byte {error.start:,} on: such bytes are shown as U+FFFD"
        return _from_text(raw.decode("utf-8", "replace"), (note,), media_type)


def to_bytes(value: Any) -> bytes:
    """Plain data as compact JSON; half characters as escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def jsonable(value: Any) -> Any:
    """A Python value as plain data. Keys become strings; what JSON has no word for becomes its text."""
    kind = cast("type[Any]", type(value))
    if value is None or kind in (str, float, bool):
        return value
    if kind is int:
        return value if value.bit_length() <= _INTEGER_BITS_MAX else hex(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {key if isinstance(key, str) else _key(key): jsonable(member) for key, member in fields.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(member) for member in cast("Sequence[Any]", value)]
    if isinstance(value, (bytes, bytearray)):
        raw = bytes(value)
        return raw.decode() if _is_text(raw) else f"hex:{raw.hex()}"
    # Of numpy's and pandas' values, what Python has for them.
    for name in ("model_dump", "_asdict", "isoformat", "tolist"):
        convert = cast("Callable[[], Any] | None", getattr(value, name, None))
        if callable(convert) and not isinstance(value, type):
            return jsonable(convert())
    fields_of = getattr(value, "__dataclass_fields__", None)
    if fields_of is not None and not isinstance(value, type):
        return {name: jsonable(getattr(value, name)) for name in fields_of}
    # A subclass, an enumeration's member, say, and not the base itself.
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value)
    return str(value)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return not _looks_binary(raw)


def _key(key: Any) -> str:
    plain = jsonable(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _from_text(text: str, notes: tuple[str, ...], media_type: str) -> Document:
    head = text.lstrip()[:1]
    if head and (head in '{["-tfnNI' or head.isdigit()):
        found = _as_json(text, notes)
        if found is not None:
            return found
    if "csv" in media_type or "tab-separated" in media_type or (not media_type and _delimiter(text)):
        return Document(kind="csv", value=_rows(text, _delimiter(text) or ","), notes=notes)
    return Document(kind="text", value=text, notes=notes)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer of more digits than Python reads: its text, then.
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= 4_000 else digits)


def _as_json(text: str, notes: tuple[str, ...]) -> Document | None:
    try:
        return Document(kind="json", value=_loaded(text), notes=notes)
    except RecursionError:
        return Document(kind="text", value=text, notes=(*notes, "JSON nested too deep to be read: kept as text"))
    except ValueError as error:
        broken = error
    if not text.lstrip().startswith(_LINE_STARTS):
        return None
    # Not every sign that ends a line elsewhere does so here: U+2028 may stand in a JSON string.
    lines = [line for line in text.split("\n") if line.strip()]
    values: list[Any] = []
    bad = 0
    for line in lines:
        try:
            values.append(_loaded(line))
        except (ValueError, RecursionError):
            bad += 1
    # One torn line at the end of a log is no reason to call it prose.
    if len(values) >= 2 and bad <= max(1, len(lines) // 100):
        torn = (f"{bad:,} of {len(lines):,} lines are no JSON and are left out",) if bad else ()
        return Document(kind="ndjson", value=values, notes=(*notes, *torn))
    note = f"looks like JSON and is not: {broken}"
    return Document(kind="text", value=text, notes=(*notes, note))


def _delimiter(text: str) -> str:
    """The sign that parts every one of the first lines into as many fields, at least two; empty where there is none."""
    lines = text[:_PROBE_CHARS].splitlines()[:20]
    if len(text) > _PROBE_CHARS and len(lines) < 20:
        lines = lines[:-1]
    if len(lines) < _CSV_LINES_MIN:
        return ""
    for sign in ("\t", ";", ",", "|"):
        rows = _read_csv("\n".join(lines), sign)
        if sign == "," and rows and all(cell.startswith(" ") for cell in rows[0][1:]):
            # Prose: a comma, then a space.
            continue
        widths = {len(row) for row in rows if row}
        if len(widths) == 1 and widths.pop() >= (3 if sign == "," else 2):
            return sign
    return ""


def _rows(text: str, delimiter: str) -> list[dict[str, str]]:
    rows = _read_csv(text, delimiter)
    names: list[str] = []
    for place, name in enumerate(rows[0] if rows else (), 1):
        plain = name.strip() or f"column_{place}"
        names.append(plain if plain not in names else f"{plain}_{place}")
    found: list[dict[str, str]] = []
    for row in rows[1:]:
        if row:
            extra = {f"column_{place}": cell for place, cell in enumerate(row[len(names) :], len(names) + 1)}
            found.append({**dict(zip(names, row, strict=False)), **extra})
    return found


def _read_csv(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(_CSV_FIELD_MAX)
    try:
        # By lines as a file has them: a quoted cell may hold some of its own.
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return [[line] for line in text.splitlines()]


def _table_rows(value: Any) -> list[Any] | None:
    """The rows of a data frame or an Arrow table; None where it is none."""
    if isinstance(value, (dict, list, tuple)):
        return None
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        ("to_pylist", {}),
        ("to_dicts", {}),
        ("to_dict", {"orient": "records"}),
    )
    for name, arguments in ways:
        convert = cast("Callable[..., Any] | None", getattr(value, name, None))
        if convert is not None and hasattr(value, "columns"):
            return list(cast("Sequence[Any]", convert(**arguments)))
    return None


def _looks_binary(raw: bytes) -> bool:
    head = raw[:8_192]
    if b"\x00" in head:
        return True
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return bool(head) and control / len(head) > _CONTROL_SHARE_MAX


_MAGIC: Final = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1", "application/vnd.apache.arrow.file"),
    (b"SQLite format 3", "application/vnd.sqlite3"),
)


def _described(raw: bytes) -> dict[str, Any]:
    kind = next((name for magic, name in _MAGIC if raw.startswith(magic)), "application/octet-stream")
    return {"media_type": kind, "bytes": len(raw), "head_hex": raw[:48].hex()}
