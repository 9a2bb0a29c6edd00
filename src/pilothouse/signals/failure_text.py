"""What says of itself that it failed: results of tools, and the errors of model providers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

SAID_CHARS_MAX = 600
"""A longer text is data that happens to begin like an error: a log, a page, a file."""

_ERROR_HEAD = re.compile(
    r"\s*[\[(<]?(?:tool |execution |runtime |api |http )?(?:error|exception|fatal|failure)[\])>]?\s*(?::|-|–|=|!|\d{3}\b)\s*\S"
    r"|\s*[A-Z]\w*(?:Error|Exception)\s*:\s*\S"
    r"|\s*Traceback \(most recent call last\)"
    r"|\s*(?:an )?(?:internal |unexpected |unknown )?error (?:occurred|executing|calling|running|while|in tool)\b"
    r"|\s*(?:tool (?:call|execution|run) )?failed(?: to \w+|:)|\s*(?:http|status)(?: error| status| code)*:? [45]\d\d\b"
    r"|\s*(?:permission denied|access denied|unauthori[sz]ed|forbidden|not authori[sz]ed|connection (?:refused|reset|timed out)"
    r"|request timed out|timed out|timeout|internal server error|service unavailable|bad gateway|command not found)\b",
    re.IGNORECASE,
)
_FALSE_FLAGS = ("success", "ok", "succeeded", "successful")
_BODY = ("data", "result", "results", "output", "content", "items")
_SAYS = ("error", "message", "reason", "detail", "error_message", "errorMessage", "msg", "description", "code")
_READS_OF_LOGS = re.compile(r"logs?(?:$|_|\b)|^(?:tail|grep|journal)|_(?:grep|tail|stderr)", re.IGNORECASE)

RATE_LIMIT = re.compile(
    r"rate.?limit|too many requests|\b429\b|quota exceeded|resource.?exhausted|throttl|overloaded|\b529\b"
    r"|tokens per min|requests per min",
    re.IGNORECASE,
)

_TOOL_MISSING = re.compile(
    r"unknown (?:tool|function)\b|(?:tool|function)_?not_?found|nosuchtool|unavailable tool"
    r"|\bno (?:such )?(?:tool|function) (?:named|called|with (?:the )?name|found|exists)\b|\bno such (?:tool|function)\b"
    r"|\b(?:tool|function) ['\"`]?[\w.:/-]{1,80}['\"`]? (?:(?:was|is|could|does|did) )?"
    r"(?:not found|not available|unavailable|not exist|doesn't exist|not registered|not be found|not in agent)"
    r"|\b(?:tool|function) not found"
    r"|\bis not (?:a )?(?:valid|known|registered|available) (?:tool|function)",
    re.IGNORECASE,
)


def says_tool_missing(text: str) -> bool:
    """True for the words with which frameworks answer the call of a tool that does not exist; short texts only."""
    if not 0 < len(text) <= SAID_CHARS_MAX or not ("ool" in text or "unction" in text or "OOL" in text):
        return False
    return _TOOL_MISSING.search(text) is not None


OVERFLOW = re.compile(
    # OpenAI, Azure, and everybody with the same interface
    r"context_length_exceeded|maximum context length|exceeds? the (?:model'?s )?(?:maximum )?context (?:window|length|limit)"
    r"|string_above_max_length|input exceeds the context window|context window of this model"
    # Anthropic, and Anthropic's models on Bedrock
    r"|prompt is too long|input length and `?max_tokens`? exceed context limit|model_context_window_exceeded"
    # Google
    r"|input token count .{0,40}exceeds? the maximum|exceeds the maximum number of tokens allowed"
    # Bedrock
    r"|input is too long for requested model|too many input tokens|too many total text bytes"
    r"|input tokens exceeds? the (?:configured )?(?:model|limit)"
    # Mistral, Cohere, Groq, xAI, Ollama, vLLM, llama.cpp
    r"|too large for model with \d+ maximum context|prompt contains \d+ tokens.{0,60}maximum|too many tokens:"
    r"|reduce the length of (?:the|your) (?:messages|prompt|input|completion)|maximum prompt length is \d+"
    r"|exceed(?:s|ed)? (?:the )?(?:available )?context size|exceeds? context (?:length|window|size)"
    r"|longer than the (?:maximum )?model(?:'s)? (?:context|length)|max_model_len",
    re.IGNORECASE,
)
"""What providers say of an input that is too long."""


def said_failure(result: str, tool: str) -> str:
    """Why a result is a failure by its own words; empty where it does not plainly say so.

    Plain are a flag such as ``success: false`` without data beside it, ``status: error`` with a message, and a short
    text that begins with an error. What a tool for reading logs returns may begin with an error and be right.
    """
    if not result:
        return ""
    head = result.lstrip()[:1]
    if head == "{":
        if "alse" in result or "rror" in result or "ailed" in result:
            return _said_by_json(result)
        return ""
    if len(result) > SAID_CHARS_MAX or (head in "[<" and "rror" not in result[:40]):
        return ""
    if _ERROR_HEAD.match(result) and not _READS_OF_LOGS.search(tool):
        return result
    return ""


def _said_by_json(result: str) -> str:
    try:
        body: Any = json.loads(result)
    except ValueError:
        return ""
    if not isinstance(body, Mapping):
        return ""
    said = cast("Mapping[str, Any]", body)
    if any(said.get(name) for name in _BODY):
        return ""
    words = next((str(said[name]) for name in _SAYS if said.get(name)), "")
    if any(said.get(flag) is False for flag in _FALSE_FLAGS):
        return words or result
    if said.get("status") in ("error", "Error", "ERROR") and words:
        return words
    errors = said.get("errors")
    if isinstance(errors, list) and errors:
        return json.dumps(errors)[:SAID_CHARS_MAX]
    return ""


def speaks(text: str) -> bool:
    """True where there is more than blanks."""
    return bool(text.strip(" \t\r\n\u200b"))
