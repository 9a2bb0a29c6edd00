"""Texts of failures grouped by what they say: numbers and ids made alike, TF-IDF, HDBSCAN. Nothing is downloaded, and the
same texts give the same groups."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pilothouse.records import BadRequest

CLUSTER_MIN = 3
"""Fewer failures are no group."""
TEMPLATES_MAX = 1_000
"""Different texts that are grouped by density; rarer ones beyond it stay alone."""

HOLE = "#"
_NOISE = (
    re.compile(r"https?://\S+|\b[\w.+-]+@[\w-]+\.[\w.]+\b"),
    re.compile(r"(?:/[\w.@-]+){2,}"),
    re.compile(r"\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b"),
    re.compile(r"\b\d{4}-\d\d-\d\d(?:[t ][\d:.]+z?)?\b"),
    # Names with a digit in them are ids: HAT030, certificate_7504069, order-4411.
    re.compile(r"[#$€£]?\b\w*\d[\w.,:%-]*"),
    re.compile(r"\"[^\"]{1,80}\"|'[^']{1,80}'|`[^`]{1,80}`"),
)
_BLANKS = re.compile(r"(?:\s*#\s*)+|\s+")


def template(text: str) -> str:
    """A text with everything that varies from case to case replaced by ``#``."""
    shape = text.lower()[:400]
    for pattern in _NOISE:
        shape = pattern.sub(f" {HOLE} ", shape)
    return _BLANKS.sub(lambda found: f" {HOLE} " if HOLE in found[0] else " ", shape).strip()


def clusters(texts: Sequence[str]) -> list[int]:
    """A group's number for each text, in order of size; -1 for a text that belongs to none.

    Raises:
        BadRequest: the extra is not installed.
    """
    shapes = [template(text) for text in texts]
    counts = Counter(shapes)
    common = [shape for shape, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:TEMPLATES_MAX]]
    found = _by_density(common, counts)
    # A text that stands alone among the others, but came often enough, is a group of its own.
    taken = max(found.values(), default=-1) + 1
    for shape in common:
        if found.get(shape, -1) < 0 and counts[shape] >= CLUSTER_MIN:
            found[shape], taken = taken, taken + 1
    labels = [found.get(shape, -1) for shape in shapes]
    sizes = Counter(label for label in labels if label >= 0)
    order = sorted(sizes, key=lambda label: (-sizes[label], labels.index(label)))
    return [order.index(label) if label >= 0 else -1 for label in labels]


def _by_density(shapes: Sequence[str], counts: Counter[str]) -> dict[str, int]:
    if len(shapes) < 2:
        return {}
    numpy, sklearn = _libraries()
    # A template counts as often as it came, as far as density goes: three of a kind are a group.
    rows = [place for place, shape in enumerate(shapes) for _ in range(min(counts[shape], CLUSTER_MIN))]
    if len(rows) < 2 * CLUSTER_MIN:
        return {}
    vectorizer = sklearn["TfidfVectorizer"](token_pattern=r"[^\W\d_]{2,}", ngram_range=(1, 2), sublinear_tf=True)  # noqa: S106  # words
    try:
        vectors: Any = vectorizer.fit_transform(list(shapes)).toarray()
    except ValueError:
        return {}  # not one word among them
    empty = numpy.linalg.norm(vectors, axis=1) == 0
    distances = numpy.clip(1.0 - vectors @ vectors.T, 0.0, 2.0)
    distances[empty, :] = distances[:, empty] = 2.0
    numpy.fill_diagonal(distances, 0.0)
    spread = distances[numpy.ix_(rows, rows)].astype("float64")
    model = sklearn["HDBSCAN"](
        min_cluster_size=CLUSTER_MIN, min_samples=2, metric="precomputed", cluster_selection_method="leaf", copy=True
    )
    labels: list[int] = [int(label) for label in model.fit_predict(spread)]
    return {shapes[place]: label for place, label in zip(rows, labels, strict=True) if label >= 0}


def _libraries() -> tuple[Any, dict[str, Any]]:
    try:
        import numpy
        from sklearn.cluster import HDBSCAN
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise BadRequest("grouping failures needs an extra", got="scikit-learn is not installed", fix="pip install 'pilothouse[analysis]'") from error  # fmt: skip
    return numpy, {"HDBSCAN": HDBSCAN, "TfidfVectorizer": TfidfVectorizer}
