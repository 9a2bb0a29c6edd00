"""A request body: its media type, its encoding, and decompression that never passes its bound."""

from __future__ import annotations

import io
import zlib
from functools import cache
from types import ModuleType
from typing import Any, Literal

from pilothouse.records import BadRequest, TooLarge

Format = Literal["protobuf", "json"]
Encoding = Literal["identity", "gzip", "deflate", "zstd"]

_FORMATS: dict[str, Format] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_ENCODINGS: dict[str, Encoding] = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
    "zstd": "zstd",
}
_CHUNK = 1 << 20
_GZIP_MEMBERS_MAX = 64
_ZSTD_WINDOW_MAX = 32 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_FRAMES_MAX = 64
_ZSTD_BLOCKS_MAX = 1 << 16


class UnsupportedMediaType(BadRequest):
    """The body is in a format the intake does not read."""

    kind = "unsupported_media_type"
    http_status = 415


def media_type(content_type: str) -> Format:
    """The format a ``Content-Type`` header names; parameters such as ``charset`` are ignored."""
    name = content_type.partition(";")[0].strip().lower()
    found = _FORMATS.get(name)
    if found is None:
        raise UnsupportedMediaType(
            f"content type {_quoted(content_type)} is not accepted",
            got=content_type[:200],
            allowed=list(_FORMATS),
            fix="set the exporter's protocol to http/protobuf or http/json",
        )
    return found


def encoding_name(content_encoding: str) -> Encoding:
    """The encoding a ``Content-Encoding`` header names; empty means identity."""
    found = _ENCODINGS.get(content_encoding.strip().lower())
    if found is None:
        raise BadRequest(
            f"content encoding {_quoted(content_encoding)} is not accepted",
            got=content_encoding[:200],
            allowed=["identity", "gzip", "deflate", "zstd"],
            fix="set the exporter's compression to gzip, deflate, zstd or none",
        )
    return found


def decompress(encoding: Encoding, body: bytes, bytes_max: int) -> bytes:
    """The body as the sender made it. Raises TooLarge at the bound and BadRequest where it is not in that encoding."""
    if encoding == "identity":
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        return body
    if encoding == "zstd":
        return _zstd(body, bytes_max)
    return _inflate(encoding, body, bytes_max)


def _inflate(encoding: Encoding, body: bytes, bytes_max: int) -> bytes:
    library = _zlib()
    if encoding == "gzip":
        window = 31
    else:
        # HTTP's deflate is the zlib format, but some senders leave its two-byte header out.
        wrapped = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        window = 15 if wrapped else -15
    out = io.BytesIO()
    rest = body
    for _ in range(_GZIP_MEMBERS_MAX):
        inflater = library.decompressobj(wbits=window)
        try:
            while not inflater.eof:
                chunk = inflater.decompress(rest, min(_CHUNK, bytes_max + 1 - out.tell()))
                rest = inflater.unconsumed_tail
                out.write(chunk)
                if out.tell() > bytes_max:
                    raise _too_large(bytes_max)
                if not chunk and not rest and not inflater.eof:
                    raise _broken(encoding, "it is cut off")
        except (zlib.error, library.error, ValueError, EOFError) as error:
            raise _broken(encoding, "the compressed data is damaged, or not in that encoding") from error
        rest = inflater.unused_data
        if encoding == "deflate" or not rest.strip(b"\0"):
            break
    else:
        raise _broken(encoding, f"it has more than {_GZIP_MEMBERS_MAX} members")
    if encoding == "deflate" and rest:
        raise _broken(encoding, f"{len(rest)} bytes follow its end")
    return out.getvalue()


def _zstd(body: bytes, bytes_max: int) -> bytes:
    library = _zstandard()
    _check_zstd_frames(body)
    out = io.BytesIO()
    reader = library.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX).stream_reader(body, read_across_frames=True)
    try:
        while chunk := reader.read(min(_CHUNK, bytes_max + 1 - out.tell())):
            out.write(chunk)
            if out.tell() > bytes_max:
                raise _too_large(bytes_max)
    except library.ZstdError as error:
        raise _broken("zstd", "the compressed data is damaged, or needs a window above 32 MiB") from error
    return out.getvalue()


def _check_zstd_frames(body: bytes) -> None:
    """Walk frames and blocks to the last byte: the library's bounded reader takes a cut-off frame for a short one."""
    at = 0
    blocks = 0
    for _ in range(_ZSTD_FRAMES_MAX):
        if body[at : at + 4] != _ZSTD_MAGIC:
            raise _broken("zstd", f"no frame begins at byte {at}")
        try:
            header = _zstandard().frame_header_size(body[at : at + 18])
            checksum = bool(body[at + 4] & 4)
        except (_zstandard().ZstdError, IndexError) as error:
            raise _broken("zstd", "its frame header is damaged or cut off") from error
        at += header
        last = False
        while not last:
            blocks += 1
            head = int.from_bytes(body[at : at + 3], "little")
            last = bool(head & 1)
            at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
            if at > len(body) or blocks > _ZSTD_BLOCKS_MAX:
                raise _broken("zstd", "it is cut off")
        at += 4 if checksum else 0
        if at > len(body):
            raise _broken("zstd", "it is cut off")
        if at == len(body):
            return
    raise _broken("zstd", f"it has more than {_ZSTD_FRAMES_MAX} frames")


@cache
def _zlib() -> Any:
    # Any: isal has the interface of zlib and inflates twice as fast; it has no wheel on some platforms.
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


@cache
def _zstandard() -> Any:
    # Any: the library's stubs leave the errors untyped.
    import zstandard

    module: ModuleType = zstandard
    return module


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {bytes_max} bytes once decompressed",
        allowed=bytes_max,
        fix="send fewer items per request (the exporter's batch size)",
    )


def _broken(encoding: str, why: str) -> BadRequest:
    return BadRequest(
        f"the body is not what Content-Encoding: {encoding} says: {why}",
        got=encoding,
        fix="send the header that matches the body, or none for an uncompressed one",
    )


def _quoted(value: str) -> str:
    return repr(value[:200])
