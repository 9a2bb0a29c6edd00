"""How the tools ask: the few calls they need, whoever answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Params = Mapping[str, object]


class Caller(Protocol):
    """Asks the API below ``/api/v1``. Every call may raise a ``PilothouseError`` and MUST NOT raise anything else.

    The command line's HTTP client is one; :class:`~pilothouse.mcp.inside.InsideCaller` asks within the server.
    """

    @property
    def url(self) -> str:
        """The server's address, for links that people open."""
        ...

    def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The envelope of a GET."""
        ...

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The envelope of a POST."""
        ...

    def delete(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The envelope of a DELETE."""
        ...

    def text(self, path: str, params: Params | None = None) -> str:
        """The text of a GET that answers with text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a tool works with: who answers, and whether it may write files here."""

    caller: Caller
    folder: Path | None = None
    """Below it ``pull`` writes exports; None where the user's files are elsewhere."""
    environment: Mapping[str, str] | None = None
    """The environment of ``pull``'s process: which server, which key."""
    run: str = ""
    """Stamped on every write of this connection, so that all of them can be undone together."""
    structured: bool = False
    """Give the small facts beside the text as structured content too."""
