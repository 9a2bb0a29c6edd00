"""Vectors for texts, equal for equal texts and close for texts that share words."""

import base64
import math
import re
import struct

from pilothouse.testing.exchange import tokens_of
from pilothouse.testing.jsons import JsonObject, as_count, as_list, as_object, as_text, objects
from pilothouse.testing.seeded import fingerprint
from pilothouse.testing.wire.format import WireError, model_of, needed

DIMENSIONS = 1_536
DIMENSIONS_MAX = 4_096


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return a unit vector that counts the hashed words of a text."""
    values = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [""]:
        number = int(fingerprint(word), 16)
        values[number % dimensions] += 1.0 if number >> 64 & 1 else -1.0
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def openai_embeddings(body: JsonObject) -> JsonObject:
    """Answer POST /v1/embeddings."""
    given = needed(body, "input")
    texts = [given] if isinstance(given, str) else [str(item) for item in as_list(given)]
    if not texts:
        raise WireError("invalid 'input': expected a text or a list of texts")
    dimensions = _dimensions(body.get("dimensions"))
    encoded = body.get("encoding_format") == "base64"
    tokens = sum(tokens_of(len(text)) for text in texts)
    data: list[JsonObject] = []
    for index, text in enumerate(texts):
        values = vector(text, dimensions)
        data.append({"object": "embedding", "index": index, "embedding": _base64(values) if encoded else values})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model_of(body), "usage": usage}


def gemini_embeddings(body: JsonObject, *, batch: bool) -> JsonObject:
    """Answer :embedContent or :batchEmbedContents."""
    asked = objects(body.get("requests")) if batch else [body]
    found: list[JsonObject] = []
    for one in asked:
        parts = objects(as_object(one.get("content")).get("parts"))
        text = " ".join(as_text(part.get("text")) for part in parts)
        found.append({"values": vector(text, _dimensions(one.get("outputDimensionality"), 768))})
    return {"embeddings": found} if batch else {"embedding": found[0]}


def _dimensions(value: object, default: int = DIMENSIONS) -> int:
    dimensions = as_count(value) or default
    if not 1 <= dimensions <= DIMENSIONS_MAX:
        raise WireError(f"invalid 'dimensions': expected 1 to {DIMENSIONS_MAX}, got {dimensions}")
    return dimensions


def _base64(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
