"""One piece of a message, from whatever shape a provider or framework gave it, as canonical parts.

Shapes read: OTel GenAI, OpenAI chat and responses, Anthropic, Gemini, Bedrock Converse, LangChain, Vercel AI SDK,
pydantic-ai and OpenInference. What no rule knows is kept whole in a part of type ``other``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pilothouse.records import Part

from . import values

_TEXT = frozenset({"text", "input_text", "output_text", "plain_text"})
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_text", "reasoning_content"})
_CALL = frozenset({"tool_call", "tool_use", "function_call", "tool-call", "function", "custom_tool_call", "mcp_call"})
_SERVER_CALL = frozenset({"server_tool_call", "server_tool_use", "builtin_tool_call", "builtin-tool-call"})
_RESULT = frozenset(
    {
        "tool_call_response",
        "tool_result",
        "tool-result",
        "function_call_output",
        "function_response",
        "custom_tool_call_output",
        "tool_return",
        "tool-return",
    }
)
_SERVER_RESULT = frozenset({"server_tool_call_response", "builtin_tool_return", "web_search_tool_result"})
_MEDIA = frozenset(
    {
        "image_url",
        "input_image",
        "image",
        "image-url",
        "input_audio",
        "audio",
        "audio-url",
        "file",
        "input_file",
        "document",
        "document-url",
        "video",
        "video_url",
        "video-url",
        "blob",
        "binary",
        "uri",
        "media",
    }
)

_IDS = ("call_id", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "ref", "id")
_NAMES = ("name", "toolName", "tool_name")
_ARGUMENTS = ("arguments", "args", "input", "parameters")
_RESULTS = ("response", "result", "output", "content")
_MIMES = ("mime_type", "mimeType", "media_type", "mediaType", "contentType")

_HINTS = frozenset(
    {"type", "cache_control", "cachePoint", "index", "status", "caller", "providerOptions", "toolCallType"}
)
"""Keys that steer a request or repeat the position and say nothing of the content. They change between two sendings
of one message (a moving cache mark, a finished status), so keeping them would make one message many."""


def parts_of(content: Any) -> list[Part]:
    """The canonical parts of a message's content: text, one part, or a list of parts. Empty text gives none."""
    if isinstance(content, str):
        return [Part(type="text", text=content)] if content else []
    if content is None:
        return []
    if isinstance(content, Mapping):
        return _part(cast("Mapping[str, Any]", content))
    if isinstance(content, (list, tuple)):
        found: list[Part] = []
        for piece in cast("list[Any]", content):
            if isinstance(piece, Mapping):
                found.extend(_part(cast("Mapping[str, Any]", piece)))
            elif isinstance(piece, (list, tuple)):
                found.append(Part(type="text", text=values.json_text(piece)))
            else:
                found.extend(parts_of(values.text(piece)))
        return found
    return parts_of(values.text(content))


def is_part(piece: Mapping[str, Any]) -> bool:
    """True where a free-standing object is a known part rather than a message (a responses item, say)."""
    kind = piece.get("type")
    return isinstance(kind, str) and (
        kind in _CALL or kind in _RESULT or kind in _REASONING or kind in _SERVER_CALL or kind in _SERVER_RESULT
    )


def has_known_type(piece: Any) -> bool:
    """True where the piece is an object that names a type a rule knows."""
    if not isinstance(piece, Mapping):
        return False
    kind = cast("Mapping[str, Any]", piece).get("type")
    return isinstance(kind, str) and (kind in _TEXT or kind in _MEDIA or is_part(cast("Mapping[str, Any]", piece)))


def result_text(value: Any) -> str:
    """What a tool gave, as text: text as it is, text blocks one after the other, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        texts: list[str] = []
        for piece in cast("list[Any]", value):
            words = _only_text(piece)
            if words is None:
                return values.json_text(value)
            texts.append(words)
        return "\n".join(texts)
    words = _only_text(value)
    return values.text(value) if words is None else words


def arguments_of(value: Any) -> Any:
    """A tool call's arguments: parsed where they are a JSON object or list; text that is not stays as sent."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    found = values.parsed(value, exact=True)
    return cast("Any", found) if isinstance(found, (dict, list)) else value


def call_part(call: Mapping[str, Any], *, server: bool = False) -> Part:
    """A tool call in any shape, with the function nested or not."""
    inner = call.get("function")
    body = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else call
    extra = _rest(call, *_IDS, *_NAMES, *_ARGUMENTS, "function")
    if server:
        extra["server"] = True
    name = values.first_word(body, _NAMES) or (values.word(inner) if isinstance(inner, str) else "")
    arguments = next((body[key] for key in _ARGUMENTS if body.get(key) is not None), None)
    return Part(
        type="tool_call",
        id=values.first_word(call, _IDS),
        name=name,
        arguments=arguments_of(arguments),
        extra=extra,
    )


def _part(piece: Mapping[str, Any]) -> list[Part]:
    kind = piece.get("type")
    if kind == "text" and len(piece) == 2:
        words = piece.get("content", piece.get("text"))
        if isinstance(words, str):
            return [Part(type="text", text=words)] if words else []
    if not isinstance(kind, str):
        return _untyped(piece)
    if kind in _TEXT:
        return _text(piece)
    if kind in _REASONING:
        return _reasoning(piece)
    if kind in _CALL:
        return [call_part(piece)]
    if kind in _SERVER_CALL:
        return [call_part(piece, server=True)]
    if kind in _RESULT:
        return _result(piece)
    if kind in _SERVER_RESULT:
        return _result(piece, server=True)
    if kind in _MEDIA:
        return _media(piece, kind)
    if kind == "refusal":
        return [Part(type="text", text=values.text(piece.get("refusal")), extra={"refusal": True})]
    return [Part(type="other", extra=dict(piece))]


def _untyped(piece: Mapping[str, Any]) -> list[Part]:
    """Gemini and Bedrock name a part by its only key instead of a type."""
    for key in ("functionCall", "function_call", "toolUse", "toolRequest", "tool_call"):
        call = piece.get(key)
        if isinstance(call, Mapping):
            return [call_part(cast("Mapping[str, Any]", call))]
    for key in ("functionResponse", "function_response", "toolResult", "toolResponse"):
        result = piece.get(key)
        if isinstance(result, Mapping):
            return _result(cast("Mapping[str, Any]", result))
    for key in ("inlineData", "inline_data", "fileData", "file_data", "media", "image", "document", "video", "audio"):
        media = piece.get(key)
        if isinstance(media, Mapping):
            return _media(cast("Mapping[str, Any]", media), key)
    reasoning = piece.get("reasoningContent")
    if isinstance(reasoning, Mapping):
        return _reasoning(_merged(cast("Mapping[str, Any]", reasoning), "reasoningText"))
    if "cachePoint" in piece and len(piece) == 1:
        return []
    if "text" in piece:
        return _reasoning(piece) if piece.get("thought") is True else _text(piece)
    return [Part(type="other", extra=dict(piece))] if piece else []


def _text(piece: Mapping[str, Any]) -> list[Part]:
    words = piece.get("text", piece.get("content"))
    if isinstance(words, Mapping):
        words = cast("Mapping[str, Any]", words).get("value")
    found = values.text(words)
    extra = _rest(piece, "text", "content", "id", "thought")
    return [Part(type="text", text=found, extra=extra)] if found or extra else []


def _reasoning(piece: Mapping[str, Any]) -> list[Part]:
    texts: list[str] = []
    for key in ("text", "thinking", "reasoning", "summary", "content"):
        value = piece.get(key)
        if isinstance(value, str) and value.startswith('[{"'):
            value = values.structure(value)
        if isinstance(value, (list, tuple)):
            texts.extend(words for item in cast("list[Any]", value) if (words := _only_text(item)))
        elif isinstance(value, Mapping):
            texts.append(values.json_text(value))
        elif value:
            texts.append(values.text(value))
    extra = _rest(piece, "text", "thinking", "reasoning", "summary", "content", "id", "thought")
    return [Part(type="reasoning", text="\n".join(texts), extra=extra)] if texts or extra else []


def _result(piece: Mapping[str, Any], *, server: bool = False) -> list[Part]:
    value = next((piece[key] for key in _RESULTS if piece.get(key) is not None), None)
    extra = _rest(piece, *_IDS, *_NAMES, *_RESULTS, "is_error", "isError")
    status = piece.get("status")
    if piece.get("is_error") is True or piece.get("isError") is True or status == "error":
        extra["is_error"] = True
    if server:
        extra["server"] = True
    media: list[Part] = []
    if isinstance(value, Mapping) and cast("Mapping[str, Any]", value).get("type") in ("text", "json", "error-text"):
        # The Vercel AI SDK wraps what a tool gave in {type, value}.
        value = cast("Mapping[str, Any]", value).get("value", cast("Any", value))
    if isinstance(value, (list, tuple)):
        pieces = cast("list[Any]", value)
        shown = [part for part in parts_of(pieces) if part.type == "media"] if _has_media(pieces) else []
        if shown:
            media = shown
            value = [item for item in pieces if _only_text(item) is not None]
    result = Part(
        type="tool_result",
        text=result_text(value) if value is not None else "",
        id=values.first_word(piece, _IDS),
        name=values.first_word(piece, _NAMES),
        extra=extra,
    )
    return [result, *media]


def _has_media(pieces: list[Any]) -> bool:
    for piece in pieces:
        if isinstance(piece, Mapping):
            block = cast("Mapping[str, Any]", piece)
            if block.get("type") in _MEDIA or ("image" in block and "type" not in block):
                return True
    return False


def _media(piece: Mapping[str, Any], kind: str) -> list[Part]:
    mime = values.first_word(piece, _MIMES)
    uri = ""
    used: set[str] = {*_MIMES, "modality"}
    for key in ("uri", "url", "fileUri", "file_uri", "file_id", "fileId"):
        if not uri and (uri := values.word(piece.get(key))):
            used.add(key)
    for key in ("image_url", "image", "source", "input_audio", "audio", "file", "document", "video"):
        inner = piece.get(key)
        if uri or inner is None:
            continue
        used.add(key)
        if isinstance(inner, Mapping):
            body = _merged(_merged(cast("Mapping[str, Any]", inner), "image"), "audio")
            mime = mime or values.first_word(body, _MIMES) or _format_mime(body)
            uri = values.first_word(body, ("url", "uri", "file_id")) or _data_uri(body, mime)
        else:
            uri = values.text(inner)
    if not uri:
        uri = _data_uri(piece, mime)
        used.update(("data", "content", "bytes", "file_data"))
    extra = _rest(piece, *used)
    modality = piece.get("modality")
    if not mime and isinstance(modality, str):
        mime = modality
    if not mime and uri.startswith("data:"):
        mime = uri[5:].split(";", 1)[0].split(",", 1)[0]
    if not mime:
        mime = kind.removeprefix("input_").split("_")[0].split("-")[0]
    if not uri and not extra:
        return []
    return [Part(type="media", mime=mime, uri=uri, extra=extra)]


def _format_mime(body: Mapping[str, Any]) -> str:
    name = body.get("format")
    return f"audio/{name}" if isinstance(name, str) and name else ""


def _data_uri(body: Mapping[str, Any], mime: str) -> str:
    for key in ("data", "content", "bytes", "file_data"):
        data = body.get(key)
        if isinstance(data, str) and data:
            return data if data.startswith(("data:", "http:", "https:")) else f"data:{mime};base64,{data}"
    return ""


def _only_text(piece: Any) -> str | None:
    """The words of a piece that is text and nothing else, or ``None``."""
    if isinstance(piece, str):
        return piece
    if isinstance(piece, Mapping):
        block = cast("Mapping[str, Any]", piece)
        kind = block.get("type")
        if kind is None and set(block) != {"text"}:
            return None
        if kind is None or (isinstance(kind, str) and (kind in _TEXT or kind.endswith("_text"))):
            words = block.get("text", block.get("content"))
            return words if isinstance(words, str) else None
    return None


def _merged(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = body.get(key)
    return cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else body


def _rest(piece: Mapping[str, Any], *used: str) -> dict[str, Any]:
    return {
        key: value
        for key, value in piece.items()
        if value is not None and key not in _HINTS and key not in used and value != [] and value != {} and value != ""
    }
