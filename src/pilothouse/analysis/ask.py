"""What is asked of a server: a playbook, over which traces, by whom, within which bounds."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pilothouse.files.spec import ExportSpec
from pilothouse.records import BadRequest

from .plan import GROUP_COLUMNS, ITEMS_MAX
from .playbook import built_in_names

CONCURRENCY_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One analysis, as it was asked for."""

    playbook: str = "triage"
    """One that is shipped: a server reads no playbook from an address it is given."""
    filter: str = ""
    """Which traces, as ``pilothouse ls`` takes it; empty: all of the window."""
    since: str = "7d"
    until: str = ""
    session: str = ""
    """Instead of a filter: the traces of one session."""
    worker: str = ""
    """``builtin`` or ``agent:MODEL``; empty: the playbook's own."""
    sample: int = 0
    """So many items, at random; 0: all."""
    seed: int = 7
    by: str = ""
    """Broken down by this column, such as ``user_id``."""
    concurrency: int = 0
    """Readers side by side; 0: as the playbook says."""
    max_tokens: int = 0
    """No item is begun beyond it; 0: as the playbook says."""
    max_usd: float = 0.0

    @property
    def spec(self) -> ExportSpec:
        """The export it reads."""
        if self.session:
            return ExportSpec(kind="session", id=self.session)
        return ExportSpec(kind="query", text=self.filter, since=self.since, until=self.until)

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def read_ask(given: Mapping[str, Any], models: Sequence[str] = ()) -> Ask:
    """An ask from outside. ``models`` are those that this server may spend on.

    Raises:
        BadRequest: it is not one, or names what this server does not do.
    """
    unknown = sorted(set(given) - set(Ask.__dataclass_fields__))
    if unknown:
        raise BadRequest("an analysis has no such field", got=unknown[0], allowed=sorted(Ask.__dataclass_fields__))
    ask = Ask(**given)
    for name in ("playbook", "filter", "since", "until", "session", "worker", "by"):
        if not isinstance(getattr(ask, name), str) or len(getattr(ask, name)) > 2_000:
            raise BadRequest(f"{name} is a text of at most 2,000 characters", got=str(getattr(ask, name))[:100])
    if ask.playbook not in built_in_names():
        raise BadRequest("the server has no such playbook", got=ask.playbook[:100], allowed=built_in_names())
    if ask.session and ask.filter:
        raise BadRequest("either a session or a filter", got=ask.session, fix="leave one of them out")
    if ask.by and ask.by not in GROUP_COLUMNS:
        raise BadRequest("nothing can be broken down by that", got=ask.by, allowed=list(GROUP_COLUMNS))
    bounds = {
        "sample": ITEMS_MAX,
        "seed": 2**31,
        "concurrency": CONCURRENCY_MAX,
        "max_tokens": 10**12,
        "max_usd": 10**6,
    }
    for name, most in bounds.items():
        value = getattr(ask, name)
        whole = isinstance(value, int) or name == "max_usd"
        if isinstance(value, bool) or not isinstance(value, int | float) or not whole or not 0 <= value <= most:
            raise BadRequest(f"{name} is a number within bounds", got=str(value)[:100], allowed=f"0 to {most}")
    _check_worker(ask.worker, models)
    return ask


def _check_worker(worker: str, models: Sequence[str]) -> None:
    # A command would be run on the server by whoever has a key: never.
    allowed = ["builtin", *(f"agent:{model}" for model in models)]
    if worker and worker not in allowed:
        fix = 'pilothouse.toml: [analysis] models = ["…"]' if worker.startswith("agent:") else "worker=builtin"
        raise BadRequest("this server has no such worker", got=worker[:100], allowed=allowed, fix=fix)
    if worker.startswith("agent:") and importlib.util.find_spec("pydantic_ai") is None:
        raise BadRequest("agents as workers need an extra", got=worker, fix="pip install 'pilothouse[runtime]'")
