"""What an export holds: one trace, a session, or all that fits a filter. The same spec is the same folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from pilothouse.records import BadRequest

from .export_file import slug

SCHEMA = "pilothouse.export/1"
Kind = Literal["trace", "session", "query"]
KINDS: tuple[Kind, ...] = ("trace", "session", "query")
Content = Literal["full", "meta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """What is exported."""

    kind: Kind
    id: str = ""
    """Of the trace or the session."""
    text: str = ""
    """The filter of a query, as ``pilothouse ls`` takes it."""
    since: str = ""
    """Of a query: from when, as it was asked for: ``7d`` moves on with every sync, a date stays."""
    until: str = ""
    content: Content = "full"
    """``meta`` writes no text that a person or a model wrote."""

    @property
    def canonical(self) -> str:
        """The spec as JSON with the same bytes for equal specs."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """12 hex digits that stand for the spec."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return (
            f"{self.kind}-{slug(self.id[:12] if self.kind == 'trace' else self.id or self.text or 'all')}-{self.hash}"
        )


def read_spec(text: str) -> ExportSpec:
    """The inverse of :attr:`ExportSpec.canonical`.

    Raises:
        BadRequest: it is not one.
    """
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise BadRequest("the export's spec is unreadable", got=text[:200]) from error
    fields: dict[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    unknown = sorted(set(fields) - set(ExportSpec.__dataclass_fields__))
    if unknown or not all(isinstance(value, str) and len(value) <= 4_000 for value in fields.values()):
        raise BadRequest("the export's spec is unreadable", got=text[:200])
    if fields.get("kind") not in KINDS or fields.get("content", "full") not in ("full", "meta"):
        raise BadRequest("no such export", got=fields.get("kind"), allowed=list(KINDS))
    spec = ExportSpec(**fields)
    if spec.kind != "query" and not spec.id:
        raise BadRequest(f"an export of a {spec.kind} names its id", fix="pilothouse pull ID")
    return spec
