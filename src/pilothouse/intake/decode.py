"""A body as it was received, to records: the one entry for the receiver's check and the worker's conversion."""

from __future__ import annotations

from . import census, decode_json, decode_protobuf
from .body import Format, decompress, encoding_name, media_type
from .check import Checked, Decoded, Signal
from .settings import Settings

_DEFAULTS = Settings()


def validate(
    signal: Signal, content_type: str, encoding: str, body: bytes, *, settings: Settings = _DEFAULTS
) -> Checked:
    """What the request holds and which items will be refused, converting nothing.

    Raises BadRequest where the body is not what its headers say, TooLarge at a bound, and no other error.
    """
    body_format, plain = _plain(signal, content_type, encoding, body, settings)
    if body_format == "protobuf":
        return decode_protobuf.validate(signal, plain)
    return decode_json.validate(signal, plain)


def decode(signal: Signal, content_type: str, encoding: str, body: bytes, *, settings: Settings = _DEFAULTS) -> Decoded:
    """The request as records: every item :func:`validate` accepts is there, in order, and no other.

    Raises as :func:`validate` does, for the same bodies.
    """
    body_format, plain = _plain(signal, content_type, encoding, body, settings)
    if body_format == "protobuf":
        return decode_protobuf.decode(signal, plain)
    return decode_json.decode(signal, plain)


def _plain(signal: Signal, content_type: str, encoding: str, body: bytes, settings: Settings) -> tuple[Format, bytes]:
    """The format, and the body as the sender made it, small enough to parse."""
    body_format = media_type(content_type)
    plain = decompress(encoding_name(encoding), body, settings.decoded_bytes_max)
    if body_format == "protobuf":
        census.check_protobuf(signal, plain, settings.parsed_bytes_max)
    else:
        census.check_json(plain, settings.parsed_bytes_max)
    return body_format, plain
