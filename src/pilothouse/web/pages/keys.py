"""API keys: who may send, read and administer. Listed, made and revoked through the API, with the visitor's own right."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.web.context import told
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit

MODES = (
    ("write", "sends telemetry, and reads"),
    ("annotate", "reads, and adds scores and notes"),
    ("read", "reads only"),
    ("admin", "everything, keys included"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysPage(PageContext):
    """API keys of the project."""

    project: str = field(metadata=told("the project whose keys these are"))
    mode: str = field(metadata=told("the visitor's own right; keys need admin"))
    api: str = field(metadata=told("where the keys themselves are read, made and revoked"))
    setup: Setup = field(metadata=told("how to use a key to send traces"))

    @property
    def allowed(self) -> bool:
        """True where the visitor may see and change keys."""
        return self.mode == "admin"

    @property
    def modes(self) -> tuple[tuple[str, str], ...]:
        """What a key may be for."""
        return MODES


def gather(visit: Visit) -> KeysPage:
    """What the page needs besides the keys, which it fetches itself."""
    return KeysPage(
        title="Keys",
        command="pilothouse keys ls",
        project=visit.visitor.project,
        mode=visit.visitor.mode,
        api="/api/v1/keys",
        setup=setup(visit.visitor),
    )


KEYS = PageSpec(name="keys", path="/keys", context=KeysPage, gather=gather)
