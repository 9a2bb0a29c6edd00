"""From recorded items to requests: grouped by resource and scope, masked, encoded, compressed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from pilothouse.records import names

from . import encode
from .batch import Batch, gzip
from .encode import MaskText, Signal
from .log_entry import LogEntry
from .queue import Item
from .stats import Counters

LOG = logging.getLogger("pilothouse")

ITEMS_MAX = 5_000
"""Spans or log records in one request."""
_KEPT_MAX = 256
"""Encoded resources and scopes that are remembered."""


@dataclass(slots=True)
class _Request:
    """A request that is being filled."""

    groups: dict[tuple[bytes, bytes], list[bytes]] = field(default_factory=dict[tuple[bytes, bytes], list[bytes]])
    size: int = 0
    items: int = 0
    count: int = 0


class Packer:
    """Makes batches for one process. Used by one thread."""

    def __init__(self, resource: Resource, instance: str, mask: MaskText | None, counters: Counters) -> None:
        self._resource = resource
        self._instance = instance
        self._mask = mask
        self._counters = counters
        # The objects are kept beside their encoding, so that an id is never that of another.
        self._resources: dict[int, tuple[Resource, bytes]] = {}
        self._scopes: dict[int, tuple[InstrumentationScope | None, bytes]] = {}
        self._own_scope = InstrumentationScope(names.SCOPE)

    def pack(
        self, signal: Signal, items: Iterable[tuple[Item, bool]], body_bytes: int, *, compress: bool
    ) -> list[Batch]:
        """Batches of one signal's items, in their order; the flag says whether an item is counted."""
        batches: list[Batch] = []
        request = _Request()
        for item, counted in items:
            if request.items and (request.size >= body_bytes or request.items >= ITEMS_MAX):
                batches.append(_batch(signal, request, compress))
                request = _Request()
            try:
                resource, scope = self._emitter(item)
                pieces = request.groups.setdefault((resource, scope), [])
                before = len(pieces)
                try:
                    if isinstance(item, LogEntry):
                        request.size += encode.log_record(pieces, item, self._mask)
                    else:
                        request.size += encode.span(pieces, item, self._mask)
                except Exception:
                    # Half of an item must not stay.
                    del pieces[before:]
                    raise
            except Exception as error:
                # Whatever an instrumentation put into a span: it is lost, counted, and stops nothing.
                LOG.debug("cannot encode %r", item, exc_info=error)
                if counted:
                    self._counters.drop("not_encodable", 1)
                    self._counters.add(settled=1)
                continue
            request.items += 1
            request.count += counted
        if request.items:
            batches.append(_batch(signal, request, compress))
        return batches

    def _emitter(self, item: Item) -> tuple[bytes, bytes]:
        if isinstance(item, LogEntry):
            return self._resource_of(self._resource), self._scope_of(self._own_scope)
        return self._resource_of(item.resource), self._scope_of(item.instrumentation_scope)

    def _resource_of(self, resource: Resource) -> bytes:
        known = self._resources.get(id(resource))
        if known is None:
            known = (resource, encode.resource(resource, self._instance, self._mask))
            if len(self._resources) < _KEPT_MAX:
                self._resources[id(resource)] = known
        return known[1]

    def _scope_of(self, scope: InstrumentationScope | None) -> bytes:
        known = self._scopes.get(id(scope))
        if known is None:
            known = (scope, encode.scope(scope))
            if len(self._scopes) < _KEPT_MAX:
                self._scopes[id(scope)] = known
        return known[1]


def _batch(signal: Signal, request: _Request, compress: bool) -> Batch:
    by_resource: dict[bytes, list[tuple[bytes, list[bytes]]]] = {}
    for (resource, scope), pieces in request.groups.items():
        if pieces:
            by_resource.setdefault(resource, []).append((scope, pieces))
    body = b"".join(encode.wrap(resource, blocks) for resource, blocks in by_resource.items())
    return Batch(signal=signal, body=gzip(body) if compress else body, gzipped=compress, count=request.count)
