"""What a recorder is told, by its caller or by the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Literal, get_args
from urllib.parse import unquote, urlsplit

from pilothouse.otlp.destination import Destination, data_folder, find_destination
from pilothouse.records import BadRequest

LOG = logging.getLogger("pilothouse")

MIB = 1024 * 1024

Compression = Literal["auto", "gzip", "none"]
Mask = Callable[[str], str] | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the recorder. :func:`read_settings` fills in what the environment says."""

    endpoint: str = ""
    """Base address of the server. Empty: found as :func:`~pilothouse.otlp.destination.find_destination` says."""
    key: str = field(default="", repr=False)
    service: str = ""
    environment: str = ""
    version: str = ""
    session: str = ""
    """Session of every trace that does not name its own."""
    user: str = ""
    """User of every trace that does not name its own."""
    capture_content: bool = True
    """Record prompts, answers, arguments and results; else their sizes and hashes alone."""
    mask: Mask = ()
    """Applied to every text before it leaves the process or reaches the disk: a function, or groups of guard rules."""
    spill_dir: Path = Path()
    """Where records wait on disk while the server is away. Private to its owner."""
    spill_bytes_max: int = 512 * MIB
    """At the bound the oldest records are dropped and counted."""
    queue_bytes_max: int = 64 * MIB
    """Memory that records may take before they are on disk or with the server. At the bound new ones are dropped."""
    flush_interval_s: float = 0.5
    """How often records are sent. ``kill -9`` loses at most what ended in the last two intervals."""
    heartbeat_interval_s: float = 5.0
    """How often the server is told which spans are still open."""
    exit_timeout_s: float = 1.5
    """The most the end of the process is held to deliver or to write to disk."""
    compression: Compression = "auto"
    """``auto`` compresses (gzip, level 1) unless the server is on this machine."""
    global_provider: bool = False
    """Also serve OpenTelemetry's global tracer provider, for instrumentors that know no other."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further headers for the server, as ``OTEL_EXPORTER_OTLP_HEADERS`` gives them."""
    local_data: Path | None = None
    """The data folder whose server was found on this machine; None where the address was given."""

    @property
    def destination(self) -> Destination:
        """Where records go."""
        return Destination(endpoint=self.endpoint, key=self.key, headers=self.headers, local_data=self.local_data)


def read_settings(
    *,
    endpoint: str = "",
    key: str = "",
    service: str = "",
    environment: str = "",
    version: str = "",
    session: str = "",
    user: str = "",
    capture_content: bool | None = None,
    mask: Mask | str | None = None,
    spill_dir: Path | str | None = None,
    spill_bytes_max: int | None = None,
    queue_bytes_max: int | None = None,
    flush_interval_s: float | None = None,
    heartbeat_interval_s: float | None = None,
    exit_timeout_s: float | None = None,
    compression: str = "",
    global_provider: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from what is given, else from ``PILOTHOUSE_*`` and the standard ``OTEL_*`` variables, else the defaults.

    A wrong variable is reported once on the logger ``pilothouse`` and its default is taken: an environment must not
    keep an agent from starting. A wrong argument is a mistake in the program.

    Raises:
        BadRequest: an argument is out of its range.
    """
    known = os.environ if variables is None else variables
    where = find_destination(endpoint, key, known)
    if urlsplit(where.endpoint).scheme not in ("http", "https") or not urlsplit(where.endpoint).hostname:
        wrong = BadRequest(
            "the endpoint is no http address", got=where.endpoint, allowed="http://host:port or https://host"
        )
        if endpoint:
            raise wrong
        LOG.warning("%s (%s); recording to the default instead", wrong, where.endpoint)
        where = find_destination("", key, {})
    resource = _resource_attributes(known.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    numbers = _Numbers(known)
    return Settings(
        endpoint=where.endpoint,
        key=where.key,
        service=service or known.get("OTEL_SERVICE_NAME", "") or resource.get("service.name", ""),
        environment=environment
        or known.get("PILOTHOUSE_ENVIRONMENT", "")
        or resource.get("deployment.environment.name", "")
        or resource.get("deployment.environment", ""),
        version=version or known.get("PILOTHOUSE_VERSION", "") or resource.get("service.version", ""),
        session=session,
        user=user,
        capture_content=_switch(known, "PILOTHOUSE_CAPTURE_CONTENT") if capture_content is None else capture_content,
        mask=_mask(mask, known.get("PILOTHOUSE_MASK", "")),
        spill_dir=_spill_dir(spill_dir, known),
        spill_bytes_max=int(numbers.take("spill_bytes_max", spill_bytes_max, 512 * MIB, least=0)),
        queue_bytes_max=int(numbers.take("queue_bytes_max", queue_bytes_max, 64 * MIB, least=MIB)),
        flush_interval_s=numbers.take("flush_interval_s", flush_interval_s, 0.5, least=0.01),
        heartbeat_interval_s=numbers.take("heartbeat_interval_s", heartbeat_interval_s, 5.0, least=0.1),
        exit_timeout_s=numbers.take("exit_timeout_s", exit_timeout_s, 1.5, least=0.0),
        compression=_compression(compression, known.get("OTEL_EXPORTER_OTLP_COMPRESSION", "")),
        global_provider=global_provider,
        headers=where.headers,
        local_data=where.local_data,
    )


class _Numbers:
    """Reads numbers given as arguments or as ``PILOTHOUSE_NAME``."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def take(self, name: str, given: float | None, default: float, *, least: float) -> float:
        if given is not None:
            if not least <= given < float("inf"):
                raise BadRequest(f"{name} is out of its range", got=given, allowed=f"{least} or more")
            return given
        variable = f"PILOTHOUSE_{name.upper()}"
        text = self._variables.get(variable, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value < float("inf"):
            LOG.warning("%s=%s is no number of at least %s; taking %s", variable, text, least, default)
            return default
        return value


def _switch(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").strip().lower() not in ("0", "false", "no", "off")


def _mask(given: Mask | str | None, variable: str) -> Mask:
    if callable(given):
        return given
    if given is None:
        given = variable
    if isinstance(given, str):
        return tuple(name.strip() for name in given.split(",") if name.strip())
    return tuple(given)


def _compression(given: str, variable: str) -> Compression:
    for choice in get_args(Compression):
        if choice == (given or variable or "auto"):
            return choice
    if given:
        raise BadRequest("no such compression", got=given, allowed=list(get_args(Compression)))
    LOG.warning("OTEL_EXPORTER_OTLP_COMPRESSION=%s is not known here; taking auto", variable)
    return "auto"


def _spill_dir(given: Path | str | None, variables: Mapping[str, str]) -> Path:
    folder = given or variables.get("PILOTHOUSE_SPILL_DIR", "")
    if folder:
        return Path(os.path.expanduser(folder))  # noqa: PTH111  # see data_folder
    data = data_folder(variables)
    if data.is_absolute():
        return data / "spill"
    # No home directory, as in some containers.
    return Path(gettempdir()) / f"pilothouse-{os.getuid()}" / "spill"


def _resource_attributes(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): unquote(value.strip()) for name, equals, value in pairs if equals}
