"""Length and shape: how long a text may be, and whether an answer is the JSON it should be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pilothouse.records import BadRequest

from .subject import Subject
from .verdict import Action, Finding

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthCheck:
    """Texts that are too long."""

    name: str
    action: Action
    chars_max: int
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """One finding, where it is."""
        length = len(subject.text)
        if length <= self.chars_max:
            return []
        message = f"{length:,} characters, at most {self.chars_max:,} are allowed"
        return [
            Finding(
                check=self.name, rule="too long", action=self.action, start=self.chars_max, end=length, message=message
            )
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaCheck:
    """Text that is to be JSON of a schema. One attempt to repair it is made, by rule: no model is asked."""

    name: str
    action: Action
    schema: Mapping[str, Any]
    repair: bool = True
    validator: Any = field(repr=False)
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """What is wrong with it; a finding that rewrites, where it could be repaired."""
        wrong = self._wrong(subject.text)
        if not wrong:
            return []
        mended = _mended(subject.text) if self.repair else None
        if mended is not None and not self._wrong(mended):
            whole = len(subject.text)
            return [Finding(check=self.name, rule="repaired", action="rewrite", end=whole, put=mended)]
        return [Finding(check=self.name, rule=rule, action=self.action, message=message) for rule, message in wrong]

    def _wrong(self, text: str) -> list[tuple[str, str]]:
        try:
            data = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            return [("no JSON", f"it is no JSON: {error}"[:200])]
        errors = sorted(self.validator.iter_errors(data), key=lambda error: list(map(str, error.absolute_path)))
        return [(str(error.validator), f"{error.json_path}: {error.message}"[:200]) for error in errors[:_SHOWN_MAX]]


def schema_validator(schema: Mapping[str, Any], place: str) -> Any:
    """What checks by a schema.

    Raises:
        BadRequest: it is no JSON Schema, or the package that reads them is not installed.
    """
    try:
        import jsonschema  # heavy, and only where a schema is given
    except ImportError as error:
        raise BadRequest(f"{place} needs the package jsonschema", fix="pip install 'pilothouse[runtime]'") from error
    package = cast("Any", jsonschema)
    kind = package.validators.validator_for(schema, default=package.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except package.SchemaError as error:
        raise BadRequest(f"{place} is no JSON Schema: {error.message}"[:300], got=error.json_path) from error
    return kind(schema)


def _mended(text: str) -> str | None:
    """The JSON in a text: out of its fence, without what stands around it, without commas at ends."""
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced is not None else text
    starts = [position for position in (body.find("{"), body.find("[")) if position >= 0]
    end = max(body.rfind("}"), body.rfind("]"))
    if not starts or end < min(starts):
        return None
    body = body[min(starts) : end + 1]
    for candidate in (body, _TRAILING_COMMA.sub(r"\1", body)):
        try:
            json.loads(candidate, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            continue
        return candidate
    return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
