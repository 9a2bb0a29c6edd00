"""Takes apart a protobuf request that the parser refuses as a whole, so that one bad item costs only itself.

Three variants of the OTLP schema, all compatible with it on the wire, are derived from the library's descriptors:

- *shell*: resource, scope and items are bytes. It parses wherever the frames around the items are whole.
- *loose*: every string is bytes. It parses whatever only has strings that are not UTF-8; these are mended with
  replacement characters and parsed again by the genuine class.
- *head*: an item's own ids and name, nothing nested. It names an item that stays unreadable.

Nothing here runs for a request that is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from pilothouse.records import BadRequest

from .check import Block, Damaged, Signal
from .shapes import Shape, request_class, shape

# Any throughout: these classes are built at run time.

UNREADABLE = "damaged, or nested deeper than 100 protobuf messages"


class _Classes(NamedTuple):
    """The message classes of one signal."""

    shell: Any
    head: Any
    resource: _Pair
    scope: _Pair
    item: _Pair


class _Pair(NamedTuple):
    """The genuine class of a message and its loose twin."""

    genuine: Any
    loose: Any


def blocks(signal: Signal, body: bytes) -> Iterator[Block]:
    """The request's blocks, with a Damaged for each item that can not be read. Raises BadRequest at a broken frame."""
    names = shape(signal)
    classes = _classes(signal)
    try:
        request = classes.shell.FromString(body)
    except _decode_error() as error:
        raise BadRequest(
            f"the body is not a whole {names.request}: it is cut off, damaged or something else",
            got=f"{len(body)} bytes",
            fix="send OTLP protobuf, whole, with a Content-Encoding header if it is compressed",
        ) from error
    for outer in getattr(request, names.resources):
        resource = _read(classes.resource, outer.resource)
        for inner in getattr(outer, names.scopes):
            scope = _read(classes.scope, inner.scope)
            unread = "resource" if resource is None else "scope" if scope is None else ""
            yield Block(resource, scope, _items(classes, getattr(inner, names.items), unread))


def _items(classes: _Classes, pieces: Any, unread: str) -> Iterator[Any]:
    for piece in pieces:
        item = None if unread else _read(classes.item, piece)
        if item is not None:
            yield item
        else:
            yield Damaged(f"its {unread} is {UNREADABLE}" if unread else UNREADABLE, _id(classes.head, piece))


def _read(pair: _Pair, piece: bytes) -> Any | None:
    try:
        return pair.genuine.FromString(piece)
    except _decode_error():
        pass
    try:
        loose = pair.loose.FromString(piece)
        _mend(loose, pair.genuine.DESCRIPTOR)
        return pair.genuine.FromString(loose.SerializeToString())
    except (*_decode_error(), ValueError):
        return None


def _mend(message: Any, genuine: Any) -> None:
    """Make every field that is a string in ``genuine`` valid UTF-8, at all depths."""
    for field, value in message.ListFields():
        original = genuine.fields_by_number[field.number]
        if original.type == original.TYPE_STRING:
            if original.is_repeated:
                value[:] = [_utf8(one) for one in value]
            elif (mended := _utf8(value)) != value:
                setattr(message, field.name, mended)
        elif original.message_type is not None:
            for one in value if original.is_repeated else (value,):
                _mend(one, original.message_type)


def _utf8(value: bytes) -> bytes:
    return value.decode("utf-8", "replace").encode()


def _id(head: Any, piece: bytes) -> str:
    try:
        message = head.FromString(piece)
    except _decode_error():
        return ""
    value = getattr(message, "span_id", None) or getattr(message, "name", b"")
    return value[:32].hex() if hasattr(message, "span_id") else value[:200].decode("utf-8", "replace")


@cache
def _decode_error() -> tuple[type[Exception], ...]:
    from google.protobuf.message import DecodeError

    return (DecodeError,)


@cache
def _classes(signal: Signal) -> _Classes:
    from google.protobuf import message_factory

    names = shape(signal)
    genuine_pool = request_class(signal).DESCRIPTOR.file.pool
    loose_pool = _pool(signal, _loosen)
    shell_pool = _pool(signal, lambda file: _hollow(file, names))
    head_pool = _pool(signal, lambda file: _behead(file, names))

    def message_class(pool: Any, full_name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))

    def pair(full_name: str) -> _Pair:
        return _Pair(message_class(genuine_pool, full_name), message_class(loose_pool, full_name))

    item = f"opentelemetry.proto.{names.package}.v1.{names.item_message}"
    return _Classes(
        shell=message_class(shell_pool, request_class(signal).DESCRIPTOR.full_name),
        head=message_class(head_pool, item),
        resource=pair("opentelemetry.proto.resource.v1.Resource"),
        scope=pair("opentelemetry.proto.common.v1.InstrumentationScope"),
        item=pair(item),
    )


def _pool(signal: Signal, change: Callable[[Any], None]) -> Any:
    """A pool with the request's files and all they import, each changed."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file: Any) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for imported in file.dependencies:
            add(imported)
        copy = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(copy)
        change(copy)
        pool.AddSerializedFile(copy.SerializeToString())

    add(request_class(signal).DESCRIPTOR.file)
    return pool


def _loosen(file: Any) -> None:
    for message in _messages(file):
        for field in message.field:
            if field.type == field.TYPE_STRING:
                field.type = field.TYPE_BYTES


def _hollow(file: Any, names: Shape) -> None:
    """Turn what hangs below the frames into bytes."""
    for message in _messages(file):
        for field in message.field:
            is_item = message.name == names.scope_message and field.name == names.items
            if is_item or field.name in ("resource", "scope") or field.type == field.TYPE_STRING:
                _as_bytes(field)


def _behead(file: Any, names: Shape) -> None:
    """Leave an item its ids and its name."""
    for message in _messages(file):
        for field in message.field:
            if field.type == field.TYPE_STRING:
                _as_bytes(field)
        if message.name == names.item_message:
            kept = [
                field for field in message.field if field.type == field.TYPE_BYTES and not field.HasField("oneof_index")
            ]
            del message.field[:]
            message.field.extend(kept)
            del message.oneof_decl[:]


def _as_bytes(field: Any) -> None:
    field.type = field.TYPE_BYTES
    field.ClearField("type_name")


def _messages(file: Any) -> Iterator[Any]:
    waiting = list(file.message_type)
    while waiting:
        message = waiting.pop()
        waiting.extend(message.nested_type)
        yield message
