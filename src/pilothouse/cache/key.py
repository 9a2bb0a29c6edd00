"""What makes two requests the same: a hash over all that may change the answer, and nothing that may not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from .settings import CacheRule

_NOT_THE_ANSWERS: Final = frozenset(
    ("stream", "stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
)
"""Fields that say how an answer travels, or for whom it is: who may share it is the scope's to say."""
_STATEFUL: Final = ("previous_response_id", "conversation", "background", "container", "web_search_options")
"""Fields whose answer depends on what a provider keeps or finds at that moment."""
_PLAIN_TOOLS: Final = ("function", "custom", None)
WHOLE: Final = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """For whom a call is made, and how it goes."""

    project_id: str
    tenant: str = ""
    user: str = ""
    wire: str
    path: str
    """Of the endpoint."""
    versions: tuple[str, ...] = ()
    """Headers that choose a version or a preview of the API."""
    model: str
    """As it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A request's place in the cache; or why it has none."""

    key: str = ""
    form: str = WHOLE
    refused: str = ""
    """Why it is neither looked up nor kept; empty where it has a key."""


def key_of(body: Mapping[str, Any], asker: Asker, rule: CacheRule, *, asked: bool) -> Keyed:
    """Where a request is kept. ``asked``: its caller asks for the cache."""
    refused = _refused(body, asker, rule, asked=asked)
    if refused:
        return Keyed(refused=refused)
    told = {name: value for name, value in body.items() if name not in _NOT_THE_ANSWERS and name != "model"}
    try:
        canonical = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return Keyed(refused="the body holds half a character")
    digest = hashlib.sha256()
    for part in (*whom(asker, rule), asker.wire, asker.path, asker.model, *asker.versions):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(canonical)
    return Keyed(key=digest.hexdigest(), form=form_of(body))


def form_of(body: Mapping[str, Any]) -> str:
    """How an answer travels: whole, or as a stream with these options."""
    if body.get("stream") is not True:
        return WHOLE
    options = body.get("stream_options")
    return "stream" if not options else f"stream {orjson.dumps(options, option=orjson.OPT_SORT_KEYS).decode()[:180]}"


def whom(asker: Asker, rule: CacheRule) -> tuple[str, ...]:
    """Who shares answers with whom."""
    if rule.scope == "global":
        return ("global",)
    return (
        ("user", asker.project_id, asker.tenant, asker.user)
        if rule.scope == "user"
        else (
            "tenant",
            asker.project_id,
            asker.tenant,
        )
    )


def _refused(body: Mapping[str, Any], asker: Asker, rule: CacheRule, *, asked: bool) -> str:
    if rule.scope == "user" and not asker.user:
        return "the scope is user, and the call names none"
    if rule.when == "asked" and not asked:
        return "the call does not ask for it"
    if rule.when == "temperature_0" and not asked and asker.path != "/embeddings" and body.get("temperature") != 0:
        return "the temperature is not 0"
    stateful = next((name for name in _STATEFUL if body.get(name)), "")
    if stateful:
        return f"{stateful} makes the answer depend on more than the request"
    if asker.path == "/responses" and body.get("store") is True:
        return "store asks the provider to keep the answer under an id of its own"
    tools = body.get("tools")
    if isinstance(tools, list):
        given = [cast("dict[str, Any]", tool) for tool in cast("list[Any]", tools) if isinstance(tool, dict)]
        if any(tool.get("type") not in _PLAIN_TOOLS for tool in given):
            return "a tool of the provider's own finds something else each time"
    return ""
