"""Seeing through disguises: the text as a reader would understand it, with the way back to where it stood.

A *view* is a text made of the original that knows where each part of it came from. The folded view takes letters that
look alike for one (full-width, Cyrillic а, mathematical 𝐚), drops what is not seen (zero-width marks, soft hyphens)
and reads tag characters. Others are only made where the text shows a sign of them: letters set apart, digits for
letters, base64, hex, percent signs, entities, rot13, backwards.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

_DECODED_MAX = 64 << 10
_SEGMENTS_MAX = 50

# Letters of other scripts that are drawn as Latin ones: those that keyboards and attacks have, not all of Unicode's.
_ALIKE_PAIRS = (
    "аa ɑa αa ϲc сc ԁd еe єe ҽe ɡg һh ıi іi ιi ӏl јj κk кk мm оo οo оo рp ρp ԛq гr ѕs ꜱs тt τt υu սu νv ѵv ԝw ѡw хx χx уy γy ʏy ᴢz "
    "АA ΑA ВB ΒB ϹC СC ЕE ΕE ԌG НH ΗH ІI ΙI ӀI ЈJ КK ΚK МM ΜM ΝN ОO ΟO РP ΡP ЅS ТT ΤT ԜW ХX ΧX УY ΥY ΖZ "
    "ɴn ʀr ɪi ᴀa ʙb ᴄc ᴅd ᴇe ɢg ʜh ᴊj ᴋk ʟl ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ⁄/ ∕/ ‐- ‑- ‒- –- —- −- ’' ‘' “\" ”\" …."
)
_ALIKE = {ord(pair[0]): pair[1] for pair in _ALIKE_PAIRS.split(" ")}
_ASCII = bytes(range(128))
_REPLACED_MAX = 24
"""Different characters up to which one replacement each is faster than translating the text."""
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_TAGS = re.compile("[\U000e0020-\U000e007e]{3,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{6,}")


class _Folds(dict[int, str | None]):
    """What each character is folded to; filled as characters are met."""

    def __missing__(self, code: int) -> str | None:
        found = self[code] = _fold(code)
        return found


def _fold(code: int) -> str | None:
    if code in _ALIKE:
        return _ALIKE[code]
    char = chr(code)
    category = unicodedata.category(char)
    # Format marks, variation selectors, and the marks that are heaped upon Latin letters; vowel signs of other scripts stay.
    if category == "Cf" or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x300 <= code <= 0x36F:
        return None
    if category in ("Zs", "Zl", "Zp"):
        return " "
    apart = unicodedata.normalize("NFKD", char)
    base = "".join(_ALIKE.get(ord(part), part) for part in apart if not unicodedata.combining(part))
    return base if base and base.isascii() else char


_FOLDS = _Folds()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A stretch of a view and where it came from."""

    at: int
    start: int
    end: int
    same: bool
    """Whether each character is one of the original's; else the whole stretch stands for the whole place."""


@dataclass(slots=True, kw_only=True)
class View:
    """A text made of another."""

    name: str
    """How the text was disguised; empty for the text as it is."""
    text: str
    base: View | None = None
    squeezed: bool = False
    """Whether its words may have run together."""
    backwards: bool = False
    make_pieces: Callable[[], list[_Piece]] | None = None
    _pieces: list[_Piece] = field(default_factory=list["_Piece"])

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch of this view stands in the text that was given."""
        if self.base is None:
            return start, end
        if self.backwards:
            start, end = len(self.text) - end, len(self.text) - start
        elif self.make_pieces is not None:
            self._pieces = self._pieces or self.make_pieces()
            start, end = self._first(start), self._last(end)
        return self.base.place(start, end)

    @property
    def disguises(self) -> str:
        """The names of this and what it was made of."""
        before = self.base.disguises if self.base is not None else ""
        return f"{before}, {self.name}" if before and self.name else self.name or before

    @property
    def origin(self) -> str:
        """The text that was given."""
        return self.text if self.base is None else self.base.origin

    def _at(self, position: int) -> _Piece:
        return self._pieces[max(bisect_right(self._pieces, position, key=lambda piece: piece.at) - 1, 0)]

    def _first(self, position: int) -> int:
        piece = self._at(position)
        return piece.start + (position - piece.at) if piece.same else piece.start

    def _last(self, position: int) -> int:
        piece = self._at(max(position - 1, 0))
        return min(piece.start + (position - piece.at), piece.end) if piece.same else piece.end


def plain(text: str) -> View:
    """The text as it is."""
    return View(name="", text=text)


def folded(view: View) -> tuple[View | None, bool]:
    """The view with what looks alike made one, None where there is nothing to fold; and whether to look at both.

    Both: where there are Greek, Cyrillic or Armenian letters, folding spoils the words of languages that use them.
    """
    if view.text.isascii():
        return None, False
    # The other characters alone, by way of bytes: a loop over all of them would take longer than all rules.
    others = set(view.text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass"))
    changed = {char: fold or "" for char in others if (fold := _FOLDS[ord(char)]) != char}
    if not changed:
        return None, False
    both = any("\u0370" <= char < "\u0590" for char in changed)
    if any(char >= "\U000e0000" or "\ufe00" <= char <= "\ufe0f" for char in changed):
        view = _view("tag characters", view, _TAGS, _tags) or view
        view = _view("variation selectors", view, _SELECTORS, _selectors) or view
    text = given = view.text
    if len(changed) <= _REPLACED_MAX:
        for char, fold in changed.items():
            text = text.replace(char, fold)
    else:
        text = text.translate(_FOLDS)

    def pieces() -> list[_Piece]:
        return _substituted(given, _NOT_ASCII, lambda match: _FOLDS[ord(match[0])] or "")[1]

    return View(name="look-alike or hidden characters", text=text, base=view, make_pieces=pieces), both


def _tags(match: re.Match[str]) -> str:
    return f" {''.join(chr(ord(char) - 0xE0000) for char in match[0])} "


def _selectors(match: re.Match[str]) -> str | None:
    # Two hundred and fifty-six of them: a byte each, behind whatever letter they follow.
    codes = [ord(char) for char in match[0]]
    found = _readable(bytes(code - 0xFE00 if code < 0xFF00 else code - 0xE0100 + 16 for code in codes))
    return None if found is None else f" {found} "


def _substituted(
    text: str, expression: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]
) -> tuple[str, list[_Piece]]:
    """The text with matches replaced, where the function gives something; and its pieces."""
    made: list[str] = []
    pieces: list[_Piece] = []
    at = done = 0
    for match in expression.finditer(text):
        new = replace(match)
        if new is None:
            continue
        start, end = match.span()
        if start > done:
            pieces.append(_Piece(at=at, start=done, end=start, same=True))
            made.append(text[done:start])
            at += start - done
        if new:
            pieces.append(
                _Piece(at=at, start=start, end=end, same=len(new) == end - start and expression is _LEET_WORD)
            )
            made.append(new)
            at += len(new)
        done = end
    if done < len(text) or not pieces:
        pieces.append(_Piece(at=at, start=done, end=len(text), same=True))
        made.append(text[done:])
    return "".join(made), pieces


def _view(
    name: str, view: View, expression: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]
) -> View | None:
    text, pieces = _substituted(view.text, expression, replace)
    if text == view.text:
        return None
    return View(name=name, text=text, base=view, make_pieces=lambda: pieces)


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"(?:\\x[0-9A-Fa-f]{2}){6,}|\b(?:[0-9A-Fa-f]{2}[ :]?){11,}[0-9A-Fa-f]{2}\b")
_PERCENT = re.compile(r"\S*%[0-9A-Fa-f]{2}\S*")
_ENTITY = re.compile(r"&(?:#[0-9]{2,7}|#[xX][0-9A-Fa-f]{2,6}|[A-Za-z]{2,31});")
_ESCAPE = re.compile(r"\\u[0-9A-Fa-f]{4}")
_LEET_WORD = re.compile(r"[A-Za-z0-9@$!|+]*(?:[A-Za-z][0134578@$!|]|[0134578@$!|][A-Za-z])[A-Za-z0-9@$!|+]*")
_LEET = str.maketrans("0134578@$!|+", "oieastbasilt")
_APART = re.compile(r"(?<![A-Za-z0-9])(?:[A-Za-z0-9@$!][ \t._*|/-]{1,3}){5,}[A-Za-z0-9@$!](?![A-Za-z0-9])")
_GAP = re.compile(r"([A-Za-z0-9@$!])([ \t._*|/-]+)(?=[A-Za-z0-9@$!])")


def _readable(body: bytes) -> str | None:
    """The text of some bytes, where they are one."""
    try:
        text = body[:_DECODED_MAX].decode()
    except UnicodeDecodeError:
        return None
    seen = sum(char.isprintable() or char in "\n\r\t" for char in text)
    letters = sum(char.isalpha() or char == " " for char in text)
    return text if len(text) >= 8 and seen == len(text) and letters >= 0.6 * len(text) else None


def _unbase64(match: re.Match[str]) -> str | None:
    body = match[0].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = _readable(base64.b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return None
    return None if found is None else f" {found} "


def _unhex(match: re.Match[str]) -> str | None:
    try:
        found = _readable(bytes.fromhex(re.sub(r"\\x|[ :]", "", match[0])))
    except ValueError:
        return None
    return None if found is None else f" {found} "


def _unleet(match: re.Match[str]) -> str:
    # `all` is written a11 as often as 1gnore begins with an i.
    return match[0].replace("11", "ll").translate(_LEET)


def _together(match: re.Match[str]) -> str:
    return _GAP.sub(lambda gap: gap[1] + (" " if len(gap[2]) > 1 and gap[2].isspace() else ""), match[0])


def base64_read(view: View) -> View | None:
    """Base64, both alphabets, decoded in its place."""
    return _view("base64", view, _BASE64, _unbase64)


def hex_read(view: View) -> View | None:
    """Hexadecimal bytes, decoded in their place."""
    return _view("hex", view, _HEX, _unhex)


def percent_read(view: View) -> View | None:
    """Percent signs of addresses."""
    return _view("percent signs", view, _PERCENT, lambda match: unquote(match[0]).replace("+", " "))


def entities_read(view: View) -> View | None:
    """Entities of HTML."""
    return _view("entities", view, _ENTITY, lambda match: html.unescape(match[0]))


def escapes_read(view: View) -> View | None:
    r"""Escapes such as ``\u0069``."""
    return _view("escapes", view, _ESCAPE, lambda match: chr(int(match[0][2:], 16)))


def leet_read(view: View) -> View | None:
    """Digits and signs for letters."""
    return _view("digits for letters", view, _LEET_WORD, _unleet)


def apart_read(view: View) -> View | None:
    """Letters set apart, brought together."""
    found = _view("letters set apart", view, _APART, _together)
    if found is not None:
        found.squeezed = True
    return found


def rot13_read(view: View) -> View | None:
    """Letters moved by thirteen."""
    return View(name="rot13", text=codecs.encode(view.text, "rot13"), base=view)


def backwards_read(view: View) -> View | None:
    """The text from its end."""
    return View(name="backwards", text=view.text[::-1], base=view, backwards=True)


SIGNS: tuple[tuple[str, str, Callable[[View], View | None]], ...] = (
    ("base64", r"[A-Za-z0-9+/_-]{24}", base64_read),
    ("hex", r"(?:\\x[0-9A-Fa-f]{2}){6}|\b(?:[0-9A-Fa-f]{2}[ :]?){12}", hex_read),
    ("percent signs", r"%[0-9A-Fa-f]{2}", percent_read),
    ("entities", r"&(?:#[0-9]{2,7}|#[xX][0-9A-Fa-f]{2,6}|lt|gt|amp|quot|nbsp|colon|sol|Tab|NewLine);", entities_read),
    ("escapes", r"\\u[0-9A-Fa-f]{4}", escapes_read),
    ("leet", r"\b[0134578@$!|]?[A-Za-z]*[A-Za-z][0134578@$!|]{1,2}[A-Za-z]|\b[013457@$!|][a-z]{2}[a-z0-9@$!|]{2}", leet_read),
    ("apart", r"\b(?:[A-Za-z0-9@$!][ \t._*|/-]{1,3}){5}[A-Za-z0-9@$!]", apart_read),
    ("rot13", r"(?i)\b(?:vtaber|qvfertneq|sbetrg|vafgehpgvbaf?|cebzcg|cerivbhf|flfgrz|ehyrf|guvf|gur|lbhe?|naq|jvgu|guvf|gung|cyrnfr)\b", rot13_read),
    ("backwards", r"(?i)\b(?:erongi|snoitcurtsni|dragersid|tpmorp|suoiverp|tegrof|metsys|selur|ruoy|siht|htiw|taht|esaelp|gnihtyreve|won era uoy)\b", backwards_read),
)  # fmt: skip
"""Each disguise: its name, the sign of it that is searched for with all rules, and how it is read."""
