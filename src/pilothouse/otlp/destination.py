"""Where the records of a process go: an address and a key, given, from the environment, or those of the local server."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
"""The standard port of OTLP over HTTP, which is also the server's default."""

_RUNTIME_NAME = "server.json"
"""Written by a running server into its data folder, readable by its owner alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One address and what is sent along to be let in."""

    endpoint: str
    """Base address; ``/v1/traces`` and ``/v1/logs`` are below it."""
    key: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further headers, as ``OTEL_EXPORTER_OTLP_HEADERS`` gives them."""
    local_data: Path | None = None
    """The data folder whose running server was found; None where the address was given."""

    @property
    def identity(self) -> str:
        """Names the place, not the way in: 16 hex digits that are the same in every process with the same key.

        The local server's address and key change with each of its starts, its data folder does not.
        """
        told = (
            str(self.local_data.absolute())
            if self.local_data
            else "\0".join((self.endpoint, self.key, *(f"{name}={value}" for name, value in self.headers)))
        )
        return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def on_this_machine(self) -> bool:
        """True for a loopback address, where compressing costs more than sending."""
        host = urlsplit(self.endpoint).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def again(self) -> Destination:
        """The same local server as it is now, after a restart gave it another key or port; else itself."""
        if self.local_data is None:
            return self
        return local_server(self.local_data) or self


def data_folder(environment: Mapping[str, str]) -> Path:
    """``PILOTHOUSE_DATA``, else ``~/.pilothouse``."""
    # Without a home directory this stays "~/…" where Path.expanduser raises.
    return Path(os.path.expanduser(environment.get("PILOTHOUSE_DATA") or "~/.pilothouse"))  # noqa: PTH111


def local_server(data: Path) -> Destination | None:
    """The server that runs on a data folder; None where there is none."""
    try:
        found: object = json.loads((data / _RUNTIME_NAME).read_bytes())
        if not isinstance(found, dict):
            return None
        told = cast("dict[str, object]", found)
        # Left behind by a server that was killed, the file names a process that is gone.
        os.kill(int(str(told["pid"])), 0)
        return Destination(endpoint=str(told["url"]).rstrip("/"), key=str(told["token"]), local_data=data)
    except (OSError, ValueError, KeyError, OverflowError):
        return None


def find_destination(endpoint: str, key: str, environment: Mapping[str, str]) -> Destination:
    """What is given, else what the environment says, else the server of this machine, else its default address.

    A key is only ever sent to the address that it was given with or for: the local server's key to no other.
    """
    headers = _headers(environment.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    key = key or environment.get("PILOTHOUSE_API_KEY", "")
    own = endpoint or environment.get("PILOTHOUSE_URL", "")
    if own:
        return Destination(endpoint=own.rstrip("/"), key=key)
    standard = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if standard:
        return Destination(endpoint=standard.rstrip("/"), key=key, headers=headers)
    data = data_folder(environment)
    if not key:
        return local_server(data) or Destination(endpoint=DEFAULT_ENDPOINT, local_data=data)
    running = local_server(data)
    return Destination(endpoint=running.endpoint if running else DEFAULT_ENDPOINT, key=key)


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """``name=value,name=value``, percent-encoded, as the OpenTelemetry specification has it."""
    found: list[tuple[str, str]] = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        clean = unquote(value.strip())
        if equals and name.strip() and clean.isprintable():
            found.append((name.strip().lower(), clean))
    return tuple(found)
