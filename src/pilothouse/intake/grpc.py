"""OTLP over gRPC: the three Export methods on a ``grpc.aio`` server.

Messages stay bytes all the way: what arrives is checked and journaled as it is, and answers are encoded by hand.
The methods are served as if the client streamed, which is the same on the wire: so the key and the load are checked
before the message is read, where a unary method would be called with the message already in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

from pilothouse.records import PilothouseError, TooLarge, Unreachable

from .answer import error_message, partial_message, partial_success, rpc_code, rpc_status
from .check import Signal
from .receive import Intake

# Any throughout: grpc has no types of its own.

_SERVICES: dict[str, Signal] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
}
_STATUS_CODES: dict[int, Any] = {code.value[0]: code for code in grpc.StatusCode}


class GrpcServer:
    """Serves one intake on one address. gzip and deflate are undone by the library, within the same bound.

    Keys come as metadata: ``authorization: Bearer KEY`` or ``x-api-key``. Errors are gRPC statuses; with those a
    sender should come back from, RetryInfo says when.
    """

    def __init__(self, intake: Intake, host: str, port: int, *, credentials: Any | None = None) -> None:
        """``port`` 0 takes a free one; ``credentials`` are the server's TLS credentials, none for plain text."""
        self._intake = intake
        self._host = host
        self._port = port
        self._credentials = credentials
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises Unreachable where the address is taken."""
        settings = self._intake.settings
        server: Any = grpc.aio.server(
            maximum_concurrent_rpcs=settings.grpc_calls_max,
            options=[
                ("grpc.max_receive_message_length", settings.body_bytes_max),
                # Without it two servers share a port in silence, each taking half of the calls.
                ("grpc.so_reuseport", 0),
            ],
        )
        server.add_generic_rpc_handlers(tuple(_handlers(self._intake)))
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self._port}"
        try:
            if self._credentials is None:
                self._port = server.add_insecure_port(address)
            else:
                self._port = server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise Unreachable(
                f"can not listen for gRPC on {address}", got=address, fix="choose another port with --grpc-port"
            ) from error
        await server.start()
        self._server = server

    async def stop(self, grace_s: float = 5.0) -> None:
        """Refuse new calls and give those at work some seconds to end."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None


def _handlers(intake: Intake) -> list[Any]:
    # No deserialisers: the handlers take and give bytes.
    return [
        grpc.method_handlers_generic_handler(
            service, {"Export": grpc.stream_unary_rpc_method_handler(_export(intake, signal))}
        )
        for service, signal in _SERVICES.items()
    ]


def _export(intake: Intake, signal: Signal) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes]]:
    bytes_max = intake.settings.body_bytes_max

    async def export(messages: AsyncIterator[bytes], context: Any) -> bytes:
        headers = {"content-type": "application/x-protobuf"}
        for name, value in context.invocation_metadata() or ():
            if name in ("authorization", "x-api-key") and isinstance(value, str):
                headers.setdefault(name, value)
        try:
            checked = await intake.take(signal, headers, _pieces(messages, bytes_max), _remote(context.peer()))
        except PilothouseError as error:
            await _abort(context, error)
        return partial_success(checked.refused_count, partial_message(signal, checked))

    return export


async def _pieces(messages: AsyncIterator[bytes], bytes_max: int) -> AsyncIterator[bytes]:
    came = False
    async for message in messages:
        came = True
        yield message
    if not came:
        # The library has ended the call by itself; it still has to be counted. An empty request is an empty message.
        raise TooLarge(
            f"no message came: it is larger than {bytes_max} bytes, or the sender left before it was whole",
            allowed=bytes_max,
            fix="send fewer items per request (the exporter's batch size)",
        )


async def _abort(context: Any, error: PilothouseError) -> NoReturn:
    details = (("grpc-status-details-bin", rpc_status(error)),)
    await context.abort(_STATUS_CODES[rpc_code(error)], error_message(error), details)
    raise error  # abort raises by itself; this line tells the type checker so.


def _remote(peer: str) -> str:
    """``ipv4:127.0.0.1:5678`` and ``ipv6:%5B::1%5D:5678`` → the address alone."""
    kind, _, address = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return address.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
