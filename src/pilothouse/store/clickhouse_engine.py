"""The driver for a ClickHouse server or cluster, over its HTTP interface. Needs version 26.3 or newer."""

from __future__ import annotations

import base64
import http.client
import queue
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from pilothouse.records import BadRequest, Unreachable

from .engine import Params, raise_for, render_params

DEFAULT_SETTINGS: Mapping[str, Any] = {"max_execution_time": 60, "max_memory_usage": 4_000_000_000}


class ClickHouseEngine:
    """``clickhouse://USER:PASSWORD@HOST:8123[,HOST:8123…]/?cluster=NAME&secure=1&replicated=1``.

    With ``cluster`` tables are Distributed over that cluster's shards. Several hosts are its nodes: statements that
    define or delete run on each of them, all others on the first.
    """

    name = "clickhouse"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        scheme, _, rest = url.partition("://")
        netloc = rest.split("/", 1)[0].split("?", 1)[0]
        credentials, _, hosts = netloc.rpartition("@")
        nodes = [_node(host) for host in hosts.split(",")]
        if scheme not in ("clickhouse", "clickhouses") or not all(nodes):
            raise BadRequest(
                "this is no ClickHouse address",
                got=url.split("@")[-1],
                allowed="clickhouse://[USER:PASSWORD@]HOST[:8123]",
            )
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._secure = scheme == "clickhouses" or options.get("secure") == "1"
        self._nodes = [
            (host, port or (8443 if self._secure else 8123)) for host, port in (node for node in nodes if node)
        ]
        self.cluster = options.get("cluster", "")
        self.replicated = options.get("replicated") == "1"
        self.clustered = bool(self.cluster)
        self._headers: dict[str, str] = {}
        if credentials:
            user, _, password = credentials.partition(":")
            pair = f"{unquote(user)}:{unquote(password)}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self._idle: list[queue.LifoQueue[http.client.HTTPConnection]] = [queue.LifoQueue() for _ in self._nodes]

    def execute(
        self,
        sql: str,
        params: Params | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        format: str = "Null",
    ) -> bytes:
        # Without waiting for the end an error in the middle of a result would arrive as status 200.
        fields: dict[str, str] = {"default_format": format, "wait_end_of_query": "1"}
        fields.update({name: str(value) for name, value in {**DEFAULT_SETTINGS, **(settings or {})}.items()})
        fields.update({f"param_{name}": value for name, value in render_params(params).items()})
        return self._post(fields, sql.encode())

    def execute_everywhere(self, sql: str, params: Params | None = None) -> None:
        """Run a statement that defines or deletes on every node of the cluster."""
        fields = {f"param_{name}": value for name, value in render_params(params).items()}
        for node in range(len(self._nodes)):
            self._post(fields, sql.encode(), node)

    def insert(self, table: str, columns: Sequence[str], body: bytes) -> None:
        sql = f"INSERT INTO {table} ({', '.join(columns)}) FORMAT JSONCompactEachRow"  # names are ours
        fields = {
            "query": sql,
            "max_insert_block_size": "1048576",
            "input_format_parallel_parsing": "0",
            "input_format_null_as_default": "0",
            "max_partitions_per_insert_block": "0",
        }
        if self.clustered:
            # Without it a Distributed table queues the rows and answers before any shard has them.
            fields["distributed_foreground_insert"] = "1"
        self._post(fields, body)

    def close(self) -> None:
        for idle in self._idle:
            while not idle.empty():
                idle.get().close()

    def _post(self, fields: Mapping[str, str], body: bytes, node: int = 0) -> bytes:
        path = "/?" + urlencode(fields)
        host, port = self._nodes[node]
        for attempt in (1, 2):
            connection, fresh = self._connection(node)
            try:
                connection.request("POST", path, body=body, headers=self._headers)
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A kept-alive connection may have been closed by the server meanwhile: once more on a fresh one.
                if attempt == 1 and not fresh:
                    continue
                raise Unreachable(f"the ClickHouse server at {host}:{port} does not answer: {error}") from error
            self._idle[node].put(connection)
            if response.status != 200:
                raise_for(data.decode("utf-8", "replace"))
            return data
        raise AssertionError("unreachable")

    def _connection(self, node: int) -> tuple[http.client.HTTPConnection, bool]:
        try:
            return self._idle[node].get_nowait(), False
        except queue.Empty:
            host, port = self._nodes[node]
            if self._secure:
                context = ssl.create_default_context()
                return http.client.HTTPSConnection(host, port, timeout=120, context=context), True
            return http.client.HTTPConnection(host, port, timeout=120), True


def _node(text: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit("//" + text)
        return (parts.hostname, parts.port or 0) if parts.hostname else None
    except ValueError:
        return None
