"""``session``, ``tags`` and ``feature``: what every span inside is stamped with, whoever records it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

from pilothouse.records import names

from . import recorder as recorders
from .jsons import readable
from .wrapping import trouble


@contextlib.contextmanager
def session(id: str = "", *, user: str = "") -> Generator[None]:
    """Everything recorded inside belongs to this session (a conversation), and to this user where one is given."""
    named = {"session.id": id, "user.id": user}
    with labelled({key: readable(str(value)) for key, value in named.items() if value}):
        yield


@contextlib.contextmanager
def tags(*names: str) -> Generator[None]:
    """Everything recorded inside carries these tags, added to those around."""
    recorder = recorders.current()
    known: tuple[str, ...] = recorder.labels().get("tag.tags", ()) if recorder is not None else ()
    with labelled({"tag.tags": tuple(dict.fromkeys((*known, *(readable(str(name)) for name in names))))}):
        yield


@contextlib.contextmanager
def feature(name: str) -> Generator[None]:
    """Everything recorded inside is for this feature of the product."""
    with labelled({names.FEATURE: readable(str(name))}):
        yield


@contextlib.contextmanager
def labelled(attributes: Mapping[str, Any]) -> Generator[None]:
    """Everything recorded inside carries these attributes."""
    recorder = recorders.current()
    token = None
    if recorder is not None and attributes:
        try:
            token = recorder.label(attributes)
        except Exception as error:
            trouble("labels could not be set", error)
    try:
        yield
    finally:
        if recorder is not None and token is not None:
            recorder.unlabel(token)
