"""The HTTP client: one connection a command, standard library only."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from pilothouse.records import BadRequest, NotAllowed, Unreachable, answered_error

from .settings import CliSettings

TIMEOUT_S = 120.0

Params = Mapping[str, object]


class Client:
    """Asks the server that the environment or the runtime file names."""

    def __init__(self, settings: CliSettings) -> None:
        self._settings = settings
        self._url = ""
        self._token = ""

    @property
    def url(self) -> str:
        """The server's address."""
        self._find()
        return self._url

    @property
    def token(self) -> str:
        """The key that is sent."""
        self._find()
        return self._token

    def document(self) -> dict[str, Any]:
        """The server's OpenAPI document."""
        found: object = json.loads(self._call("GET", "/openapi.json", None, prefix="")[1])
        return cast("dict[str, Any]", found)

    def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The envelope of a GET."""
        return self._json(*self._call("GET", path, params))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The envelope of a POST."""
        return self._json(*self._call("POST", path, None, body))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The envelope of a PUT."""
        return self._json(*self._call("PUT", path, None, body))

    def delete(self, path: str, params: Params | None = None) -> dict[str, Any]:
        """The envelope of a DELETE."""
        return self._json(*self._call("DELETE", path, params))

    def raw(self, path: str) -> tuple[str, bytes]:
        """Media type and body of a GET of any address of the server."""
        connection, response = self._open("GET", path, None, prefix="")
        try:
            return (response.getheader("Content-Type") or "").partition(";")[0].strip(), response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the answer broke off: {error or type(error).__name__}", got=self._url) from error
        finally:
            connection.close()

    def text(self, path: str, params: Params | None = None) -> str:
        """The text of a GET that answers with text."""
        return self._call("GET", path, params)[1].decode("utf-8", "replace")

    def lines(self, path: str, params: Params | None = None) -> Iterator[bytes]:
        """The lines of a GET that answers with many, as they come."""
        connection, response = self._open("GET", path, params)
        try:
            yield from response
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the answer broke off: {error or type(error).__name__}", got=self._url) from error
        finally:
            connection.close()

    def _find(self) -> None:
        if self._url:
            return
        settings = self._settings
        url, token = settings.url, settings.key
        if not url or not token:
            runtime = self._runtime()
            # The local token is for the local server alone: never sent to an address of the environment.
            if not url:
                url = str(runtime.get("url", ""))
                token = token or str(runtime.get("token", ""))
            elif url == runtime.get("url"):
                token = str(runtime.get("token", ""))
        if not url:
            raise Unreachable(
                "no server is known: none runs on this machine's data folder, and PILOTHOUSE_URL is not set",
                got=str(settings.data),
                fix="pilothouse up --detach",
            )
        if not token:
            raise NotAllowed("no API key", got=url, fix="export PILOTHOUSE_API_KEY=…  (pilothouse keys new makes one)")
        self._url, self._token = url, token

    def _runtime(self) -> dict[str, Any]:
        try:
            found: object = json.loads((self._settings.data / "server.json").read_text())
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    def _call(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: Mapping[str, Any] | None = None,
        prefix: str = "/api/v1",
    ) -> tuple[int, bytes]:
        connection, response = self._open(method, path, params, body, prefix)
        try:
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the answer broke off: {error or type(error).__name__}", got=self._url) from error
        finally:
            connection.close()

    def _open(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: Mapping[str, Any] | None = None,
        prefix: str = "/api/v1",
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Ask; give the answer where it is a good one, its body still to be read."""
        self._find()
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadRequest("PILOTHOUSE_URL is no address", got=self._url, allowed="http://HOST:PORT")
        target = parts.path.rstrip("/") + prefix + path
        query = _query(params)
        if query:
            target += "?" + query
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "pilothouse-cli", "Accept": "*/*"}
        if self._settings.actor:
            headers["X-Pilothouse-Actor"] = self._settings.actor
        if self._settings.mode:
            headers["X-Pilothouse-Mode"] = self._settings.mode
        data: bytes | None = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, target, body=data, headers=headers)
            response = connection.getresponse()
            refusal = response.read() if response.status >= 400 else b""
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(
                f"the server does not answer: {error or type(error).__name__}", got=self._url, fix="pilothouse status"
            ) from error
        if response.status >= 400:
            connection.close()
            raise answered_error(response.status, refusal, response.getheader("Retry-After"))
        return connection, response

    def _json(self, status: int, answer: bytes) -> dict[str, Any]:
        try:
            envelope: object = json.loads(answer)
        except ValueError:
            envelope = None
        if not isinstance(envelope, dict) or "data" not in envelope:
            raise Unreachable(
                "this is no Pilothouse server: its answer has another shape",
                got=f"{self._url}: {status} {answer[:60].decode('utf-8', 'replace')!r}",
                fix="check PILOTHOUSE_URL",
            )
        return cast("dict[str, Any]", envelope)


def segment(text: str) -> str:
    """Text as one segment of a path."""
    return quote(text, safe="")


def _query(params: Params | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, list | tuple):
            pairs += [(name, str(one)) for one in cast("list[object]", value)]
        else:
            pairs.append((name, str(value)))
    return urlencode(pairs, errors="replace")
