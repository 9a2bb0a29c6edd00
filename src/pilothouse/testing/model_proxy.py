"""A pass-through in front of real model endpoints that keeps what passes: what an agent really asked, and was answered.

    with ModelProxy({"openai": "https://api.openai.com/v1"}) as proxy:
        run_agent(env={"OPENAI_BASE_URL": proxy.url("openai")})
        print(len(proxy.calls))

Nothing is changed on the way but the hop-by-hop headers and the encoding of answers, which is asked to be none.
"""

import hashlib
import http.client
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from pilothouse.testing.local_server import BodyRefused, LocalHandler, LocalServer

TIMEOUT_S = 600.0
_CHUNK_BYTES = 65_536
_HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "content-length", "content-encoding", "accept-encoding"),
}


@dataclass(frozen=True, kw_only=True)
class ProxiedCall:
    """One request that passed, and its answer."""

    route: str
    """Name of the endpoint it went to."""
    method: str
    path: str
    """Below the endpoint's address, with the query."""
    start_ns: int
    """Nanoseconds since 1970 UTC when the request was there."""
    end_ns: int
    """Nanoseconds since 1970 UTC when the last byte of the answer was passed on."""
    request: bytes
    status: int
    """HTTP status; 502 where the endpoint did not answer."""
    content_type: str
    answer: bytes
    replayed: bool = False
    """True where an earlier answer to the same request was given once more."""


class ModelProxy(LocalServer):
    """Passes requests on until it is closed. `routes` are addresses by name; each has an address of its own here."""

    def __init__(self, routes: Mapping[str, str], *, host: str = "127.0.0.1", port: int = 0) -> None:
        owner = self

        class Handler(_Handler):
            proxy = owner

        super().__init__(Handler, host=host, port=port)
        self.routes = {name: address.rstrip("/") for name, address in routes.items()}
        self.replay = False
        """Answer a request that was answered before with the same answer, without asking again."""
        self.remember = True
        """Keep answers to be replayed; False keeps those that are there."""
        self._lock = threading.Lock()
        self._calls: list[ProxiedCall] = []
        self._answers: dict[str, deque[ProxiedCall]] = {}

    def __repr__(self) -> str:
        return f"ModelProxy({self.routes!r}, host={self._host!r}, port={self._port})"

    def url(self, route: str) -> str:
        """The address that stands for an endpoint."""
        return f"{self.address}/{route}"

    @property
    def calls(self) -> tuple[ProxiedCall, ...]:
        """What passed, in the order of the answers' ends."""
        with self._lock:
            return tuple(self._calls)

    def forget(self) -> None:
        """Forget the calls so far; answers to replay are kept."""
        with self._lock:
            self._calls.clear()

    def keep(self, call: ProxiedCall) -> None:
        """Keep a call; the handler calls this before the answer's end is sent."""
        with self._lock:
            self._calls.append(call)
            if self.remember and not call.replayed and 200 <= call.status < 300:
                self._answers.setdefault(_digest(call), deque(maxlen=1_000)).append(call)

    def earlier(self, route: str, method: str, path: str, request: bytes) -> ProxiedCall | None:
        """The next answer to an equal request, in turn where there were several; None where nobody asked before."""
        if not self.replay:
            return None
        with self._lock:
            known = self._answers.get(_key(route, method, path, request))
            if not known:
                return None
            known.rotate(-1)
            return known[-1]


class _Handler(LocalHandler):
    proxy: ClassVar[ModelProxy]

    def do_GET(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def do_DELETE(self) -> None:
        self._pass()

    def _pass(self) -> None:
        start_ns = time.time_ns()
        route, _, rest = self.path.lstrip("/").partition("/")
        address = self.proxy.routes.get(route)
        try:
            body = self.read_body()
        except BodyRefused as error:
            return self.send_json(error.status, {"error": {"message": str(error)}})
        if address is None:
            return self.send_json(404, {"error": {"message": f"no such endpoint: {route}"}})
        path = "/" + rest
        known = self.proxy.earlier(route, self.command, path, body)
        if known is not None:
            self._start(known.status, known.content_type, {}, len(known.answer))
            self._keep(route, path, start_ns, body, known.status, known.content_type, known.answer, replayed=True)
            self.wfile.write(known.answer)
            return None
        return self._ask(address, route, path, start_ns, body)

    def _ask(self, address: str, route: str, path: str, start_ns: int, body: bytes) -> None:
        parts = urlsplit(address)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        headers["Accept-Encoding"] = "identity"
        try:
            connection.request(self.command, parts.path.rstrip("/") + path, body or None, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            message = f"the endpoint behind the proxy does not answer: {error or type(error).__name__}"
            self._keep(route, path, start_ns, body, 502, "", message.encode())
            connection.close()
            return self.send_json(502, {"error": {"message": message}})
        try:
            self._pass_back(response, route, path, start_ns, body)
        except (OSError, http.client.HTTPException):
            self.break_off()
        finally:
            connection.close()
        return None

    def _pass_back(self, response: http.client.HTTPResponse, route: str, path: str, start_ns: int, body: bytes) -> None:
        content_type = response.getheader("Content-Type", "")
        headers = {
            name: value
            for name, value in response.getheaders()
            if name.lower() not in _HOP_BY_HOP and name.lower() not in ("content-type", "date", "server")
        }
        # Kept before the end is sent: whoever waits for the answer finds the call here.
        if response.length is not None:
            answer = response.read()
            self._keep(route, path, start_ns, body, response.status, content_type, answer)
            self._start(response.status, content_type, headers, len(answer))
            self.wfile.write(answer)
            return
        self._start(response.status, content_type, headers, None)
        streamed = bytearray()
        try:
            while piece := response.read1(_CHUNK_BYTES):
                streamed += piece
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
        except (OSError, http.client.HTTPException):
            # One side broke off: so does the other.
            self._keep(route, path, start_ns, body, response.status, content_type, bytes(streamed))
            self.break_off()
            return
        self._keep(route, path, start_ns, body, response.status, content_type, bytes(streamed))
        self.wfile.write(b"0\r\n\r\n")

    def _start(self, status: int, content_type: str, headers: Mapping[str, str], length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type or "application/octet-stream")
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _keep(
        self,
        route: str,
        path: str,
        start_ns: int,
        request: bytes,
        status: int,
        content_type: str,
        answer: bytes,
        *,
        replayed: bool = False,
    ) -> None:
        self.proxy.keep(
            ProxiedCall(
                route=route,
                method=self.command,
                path=path,
                start_ns=start_ns,
                end_ns=time.time_ns(),
                request=request,
                status=status,
                content_type=content_type,
                answer=answer,
                replayed=replayed,
            )
        )


def _digest(call: ProxiedCall) -> str:
    return _key(call.route, call.method, call.path, call.request)


def _key(route: str, method: str, path: str, request: bytes) -> str:
    return hashlib.sha256(b"\0".join((route.encode(), method.encode(), path.encode(), request))).hexdigest()
