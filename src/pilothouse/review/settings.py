"""``.pilothouse/review.yaml``: which model reviews, and within which bounds. Without a model nothing is asked.

model: gpt-4.1
url: https://api.openai.com/v1   # left out: the gateway of the running server
key: env:OPENAI_API_KEY
max_usd: 1
pieces: 200
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilothouse.evals.judges.settings import Judge, read_judge
from pilothouse.evals.plain import mapping_of
from pilothouse.records import BadRequest, canonical_json
from pilothouse.records.plain_yaml import plain_yaml

from .prompt import PROMPT_VERSION
from .rules import FOLDER

FILE: Final = ".pilothouse/review.yaml"
PIECES: Final = 200
MAX_USD: Final = 1.0
PARALLEL: Final = 8
_OF_JUDGE: Final = (
    *("model", "url", "api", "key", "temperature", "seed", "max_usd", "price", "timeout_s", "max_input_tokens"),
)
_OWN: Final = ("pieces", "parallel")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """How a change is reviewed."""

    reviewer: Judge | None
    """None: no model is configured, so nothing is asked."""
    pieces: int = PIECES
    """Questions of one review at most; what is left is unreviewed, and said."""
    parallel: int = PARALLEL

    @property
    def reviewer_id(self) -> str:
        """``model@version``, over all that an answer depends on; the address is left out, as with judges."""
        one = self.reviewer
        if one is None:
            return ""
        counted = {
            "model": one.model, "api": one.api, "temperature": one.temperature, "seed": one.seed,
            "prompt": PROMPT_VERSION,
        }  # fmt: skip
        return f"{one.model}@{hashlib.sha256(canonical_json(counted).encode()).hexdigest()[:12]}"


def root_of(here: Path) -> Path:
    """The folder whose ``.pilothouse/rules`` count: here or the next one above, up to the repository's own."""
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder
        if (folder / ".git").exists():
            break
    return here


def load_settings(root: Path, given: Mapping[str, Any]) -> ReviewSettings:
    """What the file says, and what was given with the call, which counts more.

    Raises:
        BadRequest: something in it is wrong; the message names the place.
    """
    path = root / FILE
    data: Any = None
    try:
        data = plain_yaml(path.read_text("utf-8-sig"), FILE)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("the file cannot be read", got=str(path)) from error
    row = mapping_of(data or {})
    if row is None:
        raise BadRequest(f"{FILE} is a mapping of names to values", got=str(data)[:100])
    unknown = sorted(set(row) - {*_OF_JUDGE, *_OWN})
    if unknown:
        raise BadRequest(f"{FILE} has no such name", got=unknown[0], allowed=[*_OF_JUDGE, *_OWN])
    merged = {**row, **{name: value for name, value in given.items() if value not in ("", None)}}
    asked = {name: value for name, value in merged.items() if name in _OF_JUDGE}
    model = asked.get("model")
    asked.setdefault("max_usd", MAX_USD)
    return ReviewSettings(
        reviewer=read_judge("reviewer", asked, root, place=FILE) if model else None,
        pieces=_count(merged, "pieces", PIECES, 10_000),
        parallel=_count(merged, "parallel", PARALLEL, 64),
    )


def _count(row: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = row.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadRequest(f"{FILE}: {name} is a whole number from 1 to {most:,}", got=str(value)[:80])
    return value
