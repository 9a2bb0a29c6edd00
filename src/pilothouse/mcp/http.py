"""MCP over streamable HTTP, as a part of the server: ``/mcp``, with the same API keys as everything else.

Stateless: each request carries all it needs, any worker can answer it, and nothing is lost when the server restarts.
Keys come in a header, never by the page's cookie, and a browser's page of another site is refused by its ``Origin``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pilothouse.records import BadRequest, Forbidden, NotAllowed, PilothouseError

from .caller import Desk
from .inside import InsideCaller

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

BODY_MAX = 1_000_000
"""Largest request: a statement of SQL has 100,000 characters at most."""


class Authenticate(Protocol):
    """Says whose a key is, and refuses a bad one."""

    def __call__(self, token: str | None, cookie: str | None, /) -> object: ...


ServerOf = Callable[[Callable[[Any], InsideCaller]], Any]
"""Builds a server of the SDK from what gives the caller of a request; imported late."""


class McpEndpoint:
    """The ASGI application at ``/mcp``, or another server of tools beside it. The SDK is imported at the first request, off the loop."""

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Authenticate,
        *,
        loopback: bool,
        hosts: Sequence[str] = (),
        server_of: ServerOf | None = None,
    ) -> None:
        """``loopback``: the server listens on this machine only. ``hosts`` are further names it is known by.

        ``server_of`` builds the tools; None: those that show traces.
        """
        self._server_of = server_of
        self._app = app
        self._authenticate = authenticate
        self._loopback = loopback
        self._hosts = {host.lower() for host in hosts}
        self._manager: StreamableHTTPSessionManager | None = None
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = Request(scope)
            self._check_origin(request)
            await asyncio.to_thread(self._authenticate, _token(request), None)
            manager = await self._started()
        except PilothouseError as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.http_status == 401 else {}
            refusal = JSONResponse({"error": error.as_dict()}, status_code=error.http_status, headers=headers)
            await refusal(scope, receive, send)
            return
        await manager.handle_request(scope, receive, send)

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()

    async def close(self) -> None:
        """Wait until all has ended."""
        self._stopping.set()
        if self._running is not None:
            with contextlib.suppress(Exception):
                await self._running

    def _check_origin(self, request: Request) -> None:
        host = _name(request.headers.get("host", ""))
        # A name of the attacker's that leads to this machine (DNS rebinding) is neither an address nor known here.
        if self._loopback and not self._ours(host):
            raise Forbidden("this server is not known by that name", got=host, fix=_FIX.format(host=host or "NAME"))
        origin = request.headers.get("origin")
        if origin is None:
            return
        page = _name(urlsplit(origin).netloc)
        if not self._ours(page):
            raise Forbidden("a page of another site cannot ask here", got=origin, fix=_FIX.format(host=page or "NAME"))

    def _ours(self, host: str) -> bool:
        return host in ("localhost", *self._hosts) or _is_address(host)

    async def _started(self) -> StreamableHTTPSessionManager:
        async with self._starting:
            if self._manager is None:
                self._manager = await asyncio.to_thread(_manager, self._server)
                ready = asyncio.Event()
                self._running = asyncio.create_task(self._keep(self._manager, ready))
                await ready.wait()
            return self._manager

    async def _keep(self, manager: StreamableHTTPSessionManager, ready: asyncio.Event) -> None:
        async with manager.run():
            ready.set()
            await self._stopping.wait()

    def _server(self) -> Any:
        if self._server_of is not None:
            return self._server_of(self._caller)
        from .server import build

        return build(self._desk)

    def _caller(self, request: Request[Any]) -> InsideCaller:
        url = f"{request.url.scheme}://{request.headers.get('host', '')}"
        return InsideCaller(self._app, url=url, headers=_passed_on(request))

    def _desk(self, request: Request[Any]) -> Desk:
        asked = parse_qs(request.url.query).get("structured", [""])[0]
        return Desk(caller=self._caller(request), structured=asked in ("1", "true", "yes"))


_FIX = 'allowed_hosts = ["{host}"] under [server] in pilothouse.toml'


def _manager(server: Callable[[], Any]) -> StreamableHTTPSessionManager:
    try:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        built = server()
    except ModuleNotFoundError as error:
        raise BadRequest(
            "this server was installed without MCP", got=error.name, fix="pip install 'pilothouse[mcp]'"
        ) from error
    return StreamableHTTPSessionManager(built, json_response=True, stateless=True, max_request_body_size=BODY_MAX)


def _token(request: Request[Any]) -> str:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else ""
    token = token or request.headers.get("x-api-key", "")
    if not token or not token.isascii():
        raise NotAllowed("no API key", fix="send 'Authorization: Bearer KEY'; pilothouse keys new makes one")
    return token


def _passed_on(request: Request[Any]) -> dict[str, str]:
    """Headers that go along to the API: whose call it is, and within which bounds."""
    ours = {name: value for name, value in request.headers.items() if name.startswith("x-pilothouse-")}
    return {**ours, "authorization": f"Bearer {_token(request)}"}


def _name(netloc: str) -> str:
    """A host without its port, in lower case."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
