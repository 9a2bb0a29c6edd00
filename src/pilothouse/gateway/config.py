"""The section ``gateway`` of the policy: where calls go, with which keys, and which model is sent where."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from pilothouse.cache import CacheRule, read_cache
from pilothouse.records import BadRequest, NotFound

from .choosing import Choice, Facts, chosen, read_choices
from .endpoints import WIRES, Wire

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_KEY_BYTES_MAX: Final = 4_096
_UPSTREAMS_MAX: Final = 100
_ROUTES_MAX: Final = 1_000
_AUTH: Final = {"bearer": ("authorization", "Bearer "), "x-api-key": ("x-api-key", ""), "api-key": ("api-key", "")}
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


class UpstreamKey:
    """A provider's key. Its text is given by :meth:`reveal` alone, so that no message, trace or log shows it by mistake."""

    __slots__ = ("_secret", "source")

    def __init__(self, source: str, secret: str) -> None:
        self.source = source
        self._secret = secret

    def __repr__(self) -> str:
        return f"UpstreamKey({self.source!r}, …)"

    def reveal(self) -> str:
        """The key itself, for the header that carries it."""
        return self._secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One provider, or one server that speaks a provider's API."""

    name: str
    """Lower-case letters, digits and hyphens."""
    wire: Wire
    """``openai`` or ``anthropic``: which API it speaks."""
    urls: tuple[str, ...]
    """What stands before ``/chat/completions`` or ``/messages``, e.g. ``https://api.openai.com/v1``. With several, calls
    take turns, and one that does not answer is passed over."""
    keys: tuple[UpstreamKey, ...] = ()
    """Keys, which take turns. None: the calls carry no key, as servers on this machine want it."""
    auth: str = "bearer"
    """The header that carries the key: ``bearer``, ``x-api-key`` or ``api-key``."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent along with every call."""
    provider: str = ""
    """The provider as the price book knows it; empty: the wire's."""
    connect_s: float = 10.0
    """Seconds until a connection stands."""
    answer_s: float = 600.0
    """Seconds until the answer begins. Answers that are not streamed begin when they are whole: ten minutes, as the
    providers' own libraries wait."""
    idle_s: float = 300.0
    """Seconds between two pieces of an answer."""
    stream_usage: bool = False
    """Whether streamed chats ask for their usage where the caller did not; what that adds is taken out on the way back.
    True for OpenAI's own address unless it says otherwise: others may refuse a field that they do not know."""
    calls_max: int = 1_000
    """Calls under way at once; beyond, callers are told to come back (429), so that one provider that hangs does not
    take the memory of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which upstream gets a model's calls."""

    model: str
    """Shell pattern of the model's name, such as ``gpt-5*``. The first route that fits counts."""
    upstream: str
    send_as: str = ""
    """The model's name as it is sent; empty: as it came."""
    by: tuple[Choice, ...] = ()
    """Rules that choose another model: the first that holds; none does: the one above."""
    cache: CacheRule | None = None
    """How its answers are kept and given again; None: they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one call goes."""

    upstream: Upstream
    send_as: str = ""
    route: str = ""
    """The pattern of the route that led here; empty where none did."""
    cache: CacheRule | None = None
    chosen_by: str = ""
    """The rule that chose the model, as it is written; empty where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The whole section."""

    upstreams: Mapping[str, Upstream] = field(default_factory=dict[str, Upstream])
    routes: tuple[Route, ...] = ()
    projects: tuple[str, ...] = ()
    """Projects, by id, whose keys may call models; none means all."""
    asks_difficulty: bool = False
    """Whether a rule of a route wants to know how hard a call is."""
    _plain: dict[Wire, Target] = field(default_factory=dict["Wire", "Target"], init=False, repr=False, compare=False)
    """Where calls go that no route is written for, once it was asked."""

    def target(self, wire: Wire, model: str, facts: Facts | None = None) -> Target:
        """Where a call of this model goes: the first route that fits, or the first upstream where none is written.

        ``facts``: of the call, for the rules of a route; without them its own model counts.

        Raises:
            NotFound: no upstream speaks this wire format, or no route takes this model.
        """
        plain = self._plain.get(wire)
        if plain is not None and (not self.routes or not model):
            return plain
        spoken = [upstream for upstream in self.upstreams.values() if upstream.wire == wire]
        if not spoken:
            raise NotFound(
                f"the gateway has no upstream for {wire}",
                allowed=sorted({upstream.wire for upstream in self.upstreams.values()}) or None,
                fix="name one in the section gateway of pilothouse.yaml: pilothouse docs gateway",
            )
        routes = [route for route in self.routes if self.upstreams[route.upstream].wire == wire]
        if not routes or not model:
            return self._plain.setdefault(wire, Target(upstream=spoken[0]))
        for route in routes:
            if fnmatchcase(model, route.model):
                choice = chosen(route.by, facts()) if route.by and facts is not None else None
                return Target(
                    upstream=self.upstreams[(choice.upstream if choice else "") or route.upstream],
                    send_as=choice.send_as if choice else route.send_as,
                    route=route.model,
                    cache=route.cache,
                    chosen_by=choice.when.text if choice else "",
                )
        raise NotFound(
            f"no route takes the model {model[:100]!r}",
            got=model[:100],
            allowed=[route.model for route in routes][:20],
            fix="add a route to the section gateway of pilothouse.yaml",
        )


def read_gateway(section: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> GatewayConfig:
    """The section, read and checked; keys are taken from the environment or from files.

    Raises:
        BadRequest: a setting is unknown or wrong, a key's variable is not set, or its file is not readable.
    """
    _known(section, {"upstreams", "routes", "projects"}, "gateway")
    named = _table(section.get("upstreams", {}), "gateway.upstreams")
    _at_most(len(named), _UPSTREAMS_MAX, "gateway.upstreams")
    upstreams = {name: _upstream(str(name), value, environment) for name, value in named.items()}
    listed = section.get("routes", [])
    if not isinstance(listed, list):
        raise BadRequest("gateway.routes is a list", got=_shown(listed))
    rows = cast("list[Any]", listed)
    _at_most(len(rows), _ROUTES_MAX, "gateway.routes")
    routes = tuple(_route(row, f"gateway.routes[{number}]", upstreams) for number, row in enumerate(rows))
    projects = _texts(section.get("projects", []), "gateway.projects")
    asks = any(choice.asks_difficulty for route in routes for choice in route.by)
    return GatewayConfig(upstreams=upstreams, routes=routes, projects=projects, asks_difficulty=asks)


_UPSTREAM = {"wire", "url", "urls", "key", "keys", "auth", "headers", "provider", "stream_usage"}
_NUMBERS = {"connect_s", "answer_s", "idle_s", "calls_max"}


def _upstream(name: str, value: Any, environment: Mapping[str, str]) -> Upstream:
    place = f"gateway.upstreams.{name}"
    if not _NAME.fullmatch(name):
        raise BadRequest("an upstream's name has lower-case letters, digits and hyphens, 40 at most", got=name[:100])
    table = _table(value, place)
    _known(table, _UPSTREAM | _NUMBERS, place)
    wire = table.get("wire", "")
    if wire not in WIRES:
        raise BadRequest(f"{place}.wire is the API it speaks", got=_shown(wire), allowed=list(WIRES))
    urls = _one_or_more(table, "url", "urls", place)
    if not urls:
        raise BadRequest(f"{place} has no url", fix="url: https://api.openai.com/v1")
    for url in urls:
        _check_url(url, place)
    keys = tuple(_key(source, place, environment) for source in _one_or_more(table, "key", "keys", place))
    auth = table.get("auth", "x-api-key" if wire == "anthropic" else "bearer")
    if auth not in _AUTH:
        raise BadRequest(f"{place}.auth is the header that carries the key", got=_shown(auth), allowed=list(_AUTH))
    asks = table.get("stream_usage", all(urlsplit(url).hostname == "api.openai.com" for url in urls))
    if type(asks) is not bool:
        raise BadRequest(f"{place}.stream_usage is true or false", got=_shown(asks))
    return Upstream(
        name=name,
        stream_usage=asks,
        wire=wire,
        urls=tuple(url.rstrip("/") for url in urls),
        keys=keys,
        auth=auth,
        headers=_headers(table.get("headers", {}), f"{place}.headers"),
        provider=_text(table.get("provider", ""), f"{place}.provider"),
        **cast("dict[str, Any]", _numbers(table, place)),
    )


def auth_header(upstream: Upstream, key: UpstreamKey) -> tuple[bytes, bytes]:
    """The header that carries a key."""
    name, before = _AUTH[upstream.auth]
    return name.encode(), (before + key.reveal()).encode()


def _key(source: str, place: str, environment: Mapping[str, str]) -> UpstreamKey:
    how, _, where = source.partition(":")
    if how == "env" and where:
        secret = environment.get(where, "").strip()
        if not secret:
            raise BadRequest(
                f"{place}: the environment variable {where} is not set", got=source, fix=f"export {where}=…"
            )
    elif how == "file" and where:
        try:
            with Path(where).open("rb") as file:
                secret = file.read(_KEY_BYTES_MAX + 1).decode("ascii").strip()
        except OSError as error:
            raise BadRequest(f"{place}: the key's file is not readable: {error.strerror}", got=source) from error
        except UnicodeDecodeError as error:
            raise BadRequest(f"{place}: the key's file holds more than a key", got=source) from error
    else:
        # The text is not repeated: somebody who did not read this wrote a key there.
        raise BadRequest(
            f"{place}: a key is named, not written down",
            allowed=["env:NAME", "file:/PATH"],
            fix="keys: [env:OPENAI_API_KEY]",
        )
    if not secret or len(secret) > _KEY_BYTES_MAX or not secret.isascii() or not secret.isprintable():
        raise BadRequest(f"{place}: there is no usable key in {source}", fix="one line of printable characters")
    return UpstreamKey(source, secret)


def _check_url(url: str, place: str) -> None:
    parts = urlsplit(url)
    try:
        parts.port  # noqa: B018  # reading it checks it
    except ValueError as error:
        raise BadRequest(f"{place}: the address has no such port", got=url[:200]) from error
    good = (
        parts.scheme in ("http", "https") and parts.hostname and url.isascii() and url.isprintable() and " " not in url
    )
    if not good or parts.query or parts.fragment or parts.username is not None:
        raise BadRequest(
            f"{place}: no address of an API",
            got=parts.hostname or url[:20],
            allowed="http:// or https://, without user, query and fragment",
            fix="url: https://api.openai.com/v1",
        )


def _headers(value: Any, place: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in _table(value, place).items():
        if (
            not _HEADER.fullmatch(str(name))
            or not isinstance(text, str)
            or not text.isascii()
            or not text.isprintable()
        ):
            raise BadRequest(f"{place}: no header", got=str(name)[:100], allowed="a name, and a line of ASCII")
        if str(name).lower() in ("host", "content-length", "transfer-encoding", "connection"):
            raise BadRequest(f"{place}: the gateway writes this header itself", got=str(name))
        found[str(name).lower()] = text
    return found


def _numbers(table: Mapping[str, Any], place: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in sorted(_NUMBERS & table.keys()):
        value = table[name]
        whole = name == "calls_max"
        good = type(value) is int or (type(value) is float and not whole)
        if not good or not 0 < value <= 100_000:
            wanted = "a whole number of calls" if whole else "a number of seconds"
            raise BadRequest(f"{place}.{name} is {wanted} above 0", got=_shown(value))
        found[name] = value
    return found


def _route(value: Any, place: str, upstreams: Mapping[str, Upstream]) -> Route:
    table = _table(value, place)
    _known(table, {"model", "upstream", "send_as", "cache", "by"}, place)
    model, upstream = _text(table.get("model", ""), f"{place}.model"), _text(table.get("upstream", ""), place)
    if not model:
        raise BadRequest(f"{place} has no model", fix="model: gpt-5*")
    if upstream not in upstreams:
        raise BadRequest(f"{place} names an upstream that is not there", got=upstream, allowed=sorted(upstreams))
    cache = table.get("cache")
    rule = None if cache is None else read_cache(cache, f"{place}.cache")
    if rule is not None and rule.meaning is not None and rule.meaning.upstream:
        named = upstreams.get(rule.meaning.upstream)
        if named is None or named.wire != "openai":
            raise BadRequest(
                f"{place}.cache.semantic names no upstream that speaks openai",
                got=rule.meaning.upstream[:100],
                allowed=sorted(one.name for one in upstreams.values() if one.wire == "openai"),
            )
    return Route(
        model=model,
        upstream=upstream,
        send_as=_text(table.get("send_as", ""), f"{place}.send_as"),
        cache=rule,
        by=read_choices(
            table.get("by", []),
            f"{place}.by",
            {name: one.wire for name, one in upstreams.items()},
            upstreams[upstream].wire,
        ),
    )


def _one_or_more(table: Mapping[str, Any], one: str, more: str, place: str) -> tuple[str, ...]:
    if one in table and more in table:
        raise BadRequest(f"{place} has both {one} and {more}", fix=f"leave {one} out")
    if one in table:
        return (_text(table[one], f"{place}.{one}"),)
    return _texts(table.get(more, []), f"{place}.{more}")


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{place} holds names and values", got=_shown(value))
    return cast("Mapping[str, Any]", value)


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[Any]", value)):
        raise BadRequest(f"{place} is a list of texts", got=type(cast("object", value)).__name__)
    return tuple(cast("list[str]", value))


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > 2_000:
        raise BadRequest(f"{place} is a text", got=type(value).__name__)
    return value


def _known(table: Mapping[str, Any], names: set[str], place: str) -> None:
    unknown = sorted({str(name) for name in table} - names)
    if unknown:
        raise BadRequest(f"no such setting in {place}", got=unknown[0][:100], allowed=sorted(names))


def _at_most(count: int, most: int, place: str) -> None:
    if count > most:
        raise BadRequest(f"{place} has too many entries", got=count, allowed=most)


def _shown(value: Any) -> str:
    return repr(value)[:100]
