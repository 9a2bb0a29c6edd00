"""A body as it was received, to records: the one entry for the receiver's check and the worker's conversion."""

from __future__ import annotations

from . import decode_json, decode_protobuf
from .body import decompress, encoding_name, media_type
from .check import Checked, Decoded, Signal
from .settings import Settings

_DEFAULTS = Settings()


def validate(
    signal: Signal, content_type: str, encoding: str, body: bytes, *, settings: Settings = _DEFAULTS
) -> Checked:
    """What the request holds and which items will be refused, converting nothing.

    Raises BadRequest where the body is not what its headers say, TooLarge at a bound, and no other error.
    """
    plain = decompress(encoding_name(encoding), body, settings.decoded_bytes_max)
    if media_type(content_type) == "protobuf":
        return decode_protobuf.validate(signal, plain)
    return decode_json.validate(signal, plain)


def decode(signal: Signal, content_type: str, encoding: str, body: bytes, *, settings: Settings = _DEFAULTS) -> Decoded:
    """The request as records: every item :func:`validate` accepts is there, in order, and no other.

    Raises as :func:`validate` does, for the same bodies.
    """
    plain = decompress(encoding_name(encoding), body, settings.decoded_bytes_max)
    if media_type(content_type) == "protobuf":
        return decode_protobuf.decode(signal, plain)
    return decode_json.decode(signal, plain)
