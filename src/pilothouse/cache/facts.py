"""What two questions must say alike before their meanings are compared: an embedding takes "3 days" for "30 days".

Numbers with what they count, dates, negations, names, ids, quoted texts and code, words that have an opposite, and who
stands on which side of "from", "to" and "than", in the order in which they stand. English words, any script for names and
numbers: of a language whose negations are not known here, only the rest is guarded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .fact_words import BEFORE_VERBS, DAYS, NEGATIONS, NUMBERS, OPENERS, OPPOSITES, PLAIN, SIDES, UNITS

_TOKEN: Final = re.compile(
    r"""```.*?```|`[^`]{1,400}`|"[^"]{1,400}"|“[^”]{1,400}”|'(?<=\s')[^'\n]{1,200}'(?=[\s.,?!]|$)"""
    r"""|https?://\S+|[\w.+-]+@[\w-]+\.[\w.-]+"""
    r"""|[$€£¥]?\d[\d.,:/-]*\d%?|[$€£¥]?\d%?|[^\W\d_](?:[\w'’./\\#@+-]*\w)?(?:\+\+|\#)?|[.?!:;\n%$€£¥+<>=-]""",
    re.DOTALL,
)


def facts_of(text: str) -> tuple[str, ...]:
    """The facts that a text names, in order."""
    return tuple(_facts(text))


def content_of(text: str) -> frozenset[str]:
    """The words of a text that carry what it is about, without their endings."""
    words = (_bare(piece) for piece in _TOKEN.findall(text) if piece[0].isalnum())
    return frozenset(stem for word in words if word not in PLAIN and (stem := _stem(word)) not in PLAIN)


def _facts(text: str) -> Iterator[str]:
    pieces: list[str] = _TOKEN.findall(text)
    opens = True
    for place, piece in enumerate(pieces):
        bare = _bare(piece)
        stem = _stem(bare)
        if piece in ".?!:;\n":
            opens = True
            continue
        if piece in "%$€£¥+<>=-":
            yield f"sign:{piece}"
        elif piece[0] in "`\"“'":
            yield f"quoted:{piece.strip('`“”').strip(chr(34)).strip(chr(39)).strip()}"
        elif any(character.isdigit() for character in piece) or "@" in piece or "://" in piece:
            yield f"number:{_number(piece)}"
            if piece[-1].isdigit():
                yield from _unit(pieces, place)
        elif bare in NUMBERS:
            yield f"number:{NUMBERS[bare]}"
            yield from _unit(pieces, place)
        elif bare in NEGATIONS or bare.endswith(("n't", "n’t")):
            yield "negation"
        elif stem in DAYS or bare in DAYS:
            yield f"day:{stem}"
        elif _named(piece, bare, opens):
            yield f"name:{piece}"
        else:
            if bare in OPPOSITES or stem in OPPOSITES:
                yield f"word:{stem}"
            if stem in UNITS or bare in UNITS:
                yield f"unit:{stem}"
            if bare in SIDES or (bare == "to" and place > 0 and _bare(pieces[place - 1]) not in BEFORE_VERBS):
                yield f"side:{bare if bare in ('from', 'to', 'than', 'between', 'into') else ''}:{_after(pieces, place)}"
        opens = False


def _unit(pieces: list[str], place: int) -> Iterator[str]:
    """What a number counts: the word that follows it."""
    follows = pieces[place + 1] if place + 1 < len(pieces) else ""
    if follows and follows[0].isalpha():
        yield f"unit:{_stem(_bare(follows))}"


def _named(piece: str, bare: str, opens: bool) -> bool:
    if not any(character.isupper() for character in piece):
        return any(sign in piece for sign in "_/\\#@") or ("." in piece and len(piece) > 3)
    # The first word of a sentence has its capital from there, unless it is no word that sentences begin with.
    return bare not in OPENERS if opens or piece == "I" or bare.startswith(("i'", "i’")) else True


def _after(pieces: list[str], place: int) -> str:
    """The first word after a place that carries meaning."""
    for piece in pieces[place + 1 : place + 5]:
        stem = _stem(_bare(piece))
        if piece[0].isalnum() and stem not in PLAIN:
            return stem
    return ""


def _bare(piece: str) -> str:
    return piece.lower().replace("’", "'")


def _number(piece: str) -> str:
    plain = piece.lower().rstrip(".,:/-")
    return plain.replace(",", "") if re.fullmatch(r"[$€£¥]?\d{1,3}(,\d{3})+(\.\d+)?%?", plain) else plain


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending, least in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word.removesuffix("e") if len(word) > 4 else word
