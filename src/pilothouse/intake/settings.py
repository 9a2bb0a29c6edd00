"""The bounds of the intake: what is accepted, how much waits, and when a sender is told to come back."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every bound of the intake. Each default holds for one process on two cores with a few GB of memory."""

    body_bytes_max: int = 16 * MIB
    """Largest body as received, still compressed; also the largest gRPC message. Above it: 413."""
    decoded_bytes_max: int = 64 * MIB
    """Largest body once decompressed. A bomb costs this much memory for a moment, never more. Above it: 413."""
    parsed_bytes_max: int = 512 * MIB
    """Memory one parsed body may need. Many tiny items grow when parsed (an empty span: from 2 bytes to 170). Above
    it: 413."""
    body_seconds_max: float = 30.0
    """How long a body may take to arrive. Later: 408."""
    inline_bytes_max: int = 16 * KIB
    """Bodies up to here are checked on the event loop; larger ones, and small ones that grow, in a thread."""
    check_threads: int = 2
    """Threads that decompress and check large bodies; each may hold one decompressed body."""
    in_flight_bytes_max: int = 128 * MIB
    """Bytes of bodies received and not yet answered. Above it: 429."""
    backlog_bytes_max: int = 4 * GIB
    """Bytes in the journal that the ingest worker has not consumed. Above it: 503."""
    disk_free_bytes_min: int = 256 * MIB
    """Free disk below which nothing is accepted: 503. The store needs room to merge and to shrink."""
    probe_seconds: float = 1.0
    """How often backlog and free disk are measured."""
    retry_after_s: int = 5
    """What ``Retry-After`` says with 429 and 503."""
    segment_bytes: int = 64 * MIB
    """Size at which a journal segment is closed and the next begins."""
    group_bytes_max: int = 16 * MIB
    """Bytes written to the journal before one fdatasync; a larger record is a group of its own."""
    cors_origins: tuple[str, ...] = ()
    """Browser origins that may post, e.g. ``https://app.example``; empty: no CORS headers at all."""
    grpc_calls_max: int = 256
    """gRPC calls at work at once. Above it: RESOURCE_EXHAUSTED."""
