"""Passing on what was received to another OTLP backend: masked as our own store would have it, and sent once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from pilothouse.guards import Masker
from pilothouse.otlp.destination import Destination
from pilothouse.otlp.sender import Sender
from pilothouse.records import BadRequest

from .body import decompress, encoding_name, media_type
from .segment import Record

UNPACKED_BYTES_MAX = 256 << 20
"""The receiver's own bound is lower; this one holds for journals that another version wrote."""
_FROM_ENVIRONMENT = "env:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Another OTLP/HTTP backend that is to have what arrives here too."""

    name: str
    """Letters, digits and hyphens: names its checkpoint file."""
    url: str
    """Up to, not including, ``/v1/traces``."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent along. A value ``env:NAME`` is read from the environment, so that no key stands in the file."""
    signals: tuple[str, ...] = ("traces", "logs", "metrics")
    """Which signals it gets."""
    projects: tuple[str, ...] = ()
    """Projects by name or id; none means all."""
    timeout_s: float = 10.0
    """Seconds to wait for its answer."""

    def wants(self, record: Record) -> bool:
        """Whether this record is for it."""
        return record.signal in self.signals and (not self.projects or record.project_id in self.projects)


def headers_of(upstream: Upstream, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Its headers with the values that stand in the environment.

    Raises:
        BadRequest: a variable that a header names is not set.
    """
    found: dict[str, str] = {}
    for name, value in upstream.headers.items():
        if value.startswith(_FROM_ENVIRONMENT):
            variable = value.removeprefix(_FROM_ENVIRONMENT)
            if variable not in environment:
                raise BadRequest(
                    f"forward {upstream.name!r}: the environment variable {variable} for its header {name} is not set",
                    got=value,
                    fix=f"export {variable}=…",
                )
            value = environment[variable]
        found[name] = value
    return found


def masked_body(record: Record, masker: Masker) -> bytes:
    """The record's body, decompressed, with every text in it masked; its media type stays.

    Raises:
        BadRequest: it cannot be decoded, so it cannot be masked, and must not be passed on.
    """
    body = decompress(encoding_name(record.encoding), record.body, UNPACKED_BYTES_MAX)
    if not masker.active:
        return body
    if media_type(record.content_type) == "json":
        try:
            return json.dumps(masker.mask_data(json.loads(body)), separators=(",", ":")).encode()
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is no JSON: {error}") from error
    message = _message(record.signal)
    try:
        message.ParseFromString(body)
    except Exception as error:
        # The library raises DecodeError, which is not part of its typed surface.
        raise BadRequest(f"the body is no protobuf: {error}") from error
    _mask_message(message, masker)
    return message.SerializeToString()


def _message(signal: str) -> Any:
    # The generated modules import slowly: only where protobuf is masked.
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Message
    elif signal == "logs":
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest as Message
    else:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest as Message
    return cast("Any", Message)()


def _mask_message(top: Any, masker: Masker) -> None:
    work = [top]
    while work:
        message = work.pop()
        for descriptor, value in message.ListFields():
            name = descriptor.name
            if descriptor.type == descriptor.TYPE_STRING:
                _mask_strings(message, name, value, masker)
            elif descriptor.type == descriptor.TYPE_MESSAGE:
                work.extend([value] if hasattr(value, "ListFields") else value)
            elif name == "bytes_value":
                # A text that was sent as bytes is a text.
                text = value.decode("utf-8", "replace")
                if (safe := masker.mask(text)) != text:
                    setattr(message, name, safe.encode())


def _mask_strings(message: Any, name: str, value: Any, masker: Masker) -> None:
    if isinstance(value, str):
        if (safe := masker.mask(value)) != value:
            setattr(message, name, safe)
        return
    for place, text in enumerate(cast("list[str]", value)):
        if (safe := masker.mask(text)) != text:
            value[place] = safe


def sender_to(upstream: Upstream) -> Sender:
    """A connection to it. The settings were checked when they were read."""
    headers = tuple(headers_of(upstream).items())
    return Sender(Destination(endpoint=upstream.url, headers=headers), reply_timeout_s=upstream.timeout_s)


def read_upstreams(rows: object) -> Iterator[Upstream]:
    """Upstreams out of the ``[[forward]]`` tables of the configuration.

    Raises:
        BadRequest: a table lacks a name or an address, has a setting that is not known, or a name comes twice.
    """
    if not isinstance(rows, list):
        raise BadRequest("forward are [[forward]] tables, one for each backend", got=repr(rows)[:100])
    seen: set[str] = set()
    for row in cast("list[Any]", rows):
        if not isinstance(row, Mapping):
            raise BadRequest("forward are [[forward]] tables, one for each backend", got=repr(row)[:100])
        upstream = _upstream(cast("Mapping[str, Any]", row))
        if upstream.name in seen:
            raise BadRequest("two [[forward]] tables have one name", got=upstream.name)
        seen.add(upstream.name)
        yield upstream


def _upstream(row: Mapping[str, Any]) -> Upstream:
    unknown = sorted(set(row) - set(Upstream.__dataclass_fields__))
    if unknown:
        raise BadRequest(
            "no such setting in [[forward]]", got=unknown[0], allowed=sorted(Upstream.__dataclass_fields__)
        )
    name, url, headers = row.get("name"), row.get("url"), row.get("headers", {})
    if not isinstance(name, str) or not name.replace("-", "").isalnum() or not name.isascii() or len(name) > 40:
        raise BadRequest("forward.name is letters, digits and hyphens, at most 40", got=repr(name)[:100])
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRequest(
            f"forward {name!r}: url is an http(s) address", got=repr(url)[:100], fix='url = "https://collector:4318"'
        )
    if not isinstance(headers, Mapping) or not all(
        isinstance(value, str) for value in cast("Mapping[str, Any]", headers).values()
    ):
        raise BadRequest(f"forward {name!r}: headers is a table of texts", got=repr(cast("object", headers))[:100])
    lists: dict[str, tuple[str, ...]] = {}
    for key in ("signals", "projects"):
        value = row.get(key, list(getattr(Upstream(name="", url=""), key)))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[Any]", value)):
            raise BadRequest(f"forward {name!r}: {key} is a list of texts", got=repr(cast("object", value))[:100])
        lists[key] = tuple(cast("list[str]", value))
    wrong = sorted(set(lists["signals"]) - {"traces", "logs", "metrics"})
    if wrong:
        raise BadRequest(f"forward {name!r}: no such signal", got=wrong[0], allowed=["traces", "logs", "metrics"])
    timeout = row.get("timeout_s", 10.0)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 300:
        raise BadRequest(f"forward {name!r}: timeout_s is a number of seconds up to 300", got=repr(timeout)[:100])
    return Upstream(
        name=name,
        url=cast("str", url),
        headers=dict(cast("Mapping[str, str]", headers)),
        signals=lists["signals"],
        projects=lists["projects"],
        timeout_s=float(timeout),
    )
