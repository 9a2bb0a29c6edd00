"""Command lines of ours that messages and answers suggest."""

from __future__ import annotations

import shlex

from .harmless import clean


def command(*words: object) -> str:
    """A command line that can be pasted as it is: what a shell would act on is quoted.

    Empty where a word cannot be typed, because it holds control characters, hidden marks or line breaks.
    """
    texts = [str(word) for word in words]
    if any("\n" in text or "\t" in text or clean(text) != text for text in texts):
        return ""
    return shlex.join(["pilothouse", *texts])
