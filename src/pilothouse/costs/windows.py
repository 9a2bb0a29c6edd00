"""How many tokens a model can be sent at once, as genai-prices lists it."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(2_000)
def context_window(model: str, provider: str) -> int | None:
    """The context window of a model in tokens; None where it is not known."""
    if not model:
        return None
    # Imported here: it takes a third of a second and may never be needed.
    from genai_prices import data_snapshot

    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(model, None, provider or None, None)
    except LookupError:
        return None
    return found.context_window
