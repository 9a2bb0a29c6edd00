"""Which key a request carries."""

from __future__ import annotations

import base64
from collections.abc import Mapping


def token(headers: Mapping[str, str]) -> str | None:
    """The key from lower-case headers, or None where there is none.

    ``Authorization: Bearer KEY`` first, then ``x-api-key: KEY``. ``Authorization: Basic`` is read too, because some
    SDKs send their pair of keys so: the password is the key, or the user name where the password is empty.
    """
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return value
    if scheme.lower() == "basic" and value:
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return headers.get("x-api-key", "").strip() or None
        return password or name or None
    return headers.get("x-api-key", "").strip() or None
