"""What a request asks for, as a list that can be checked: by rules that would rather miss an ask than invent one.

A request is cut at its list items, its sentences, and at "and", "then" and commas where a verb of command follows.
What is quoted, fenced or only tells of a state of things is no ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

ASKS_MAX: Final = 30
_REQUEST_CHARS_MAX: Final = 20_000
_ASK_CHARS_MAX: Final = 300
_STEM: Final = 4
"""Words that agree in so many first letters are taken for one: refund, refunded, refunds."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VERBS: Final = _words(
    """
    add analyse analyze answer apply approve archive ask assign attach block book build calculate call cancel change
    check choose cite clean compose close collect combine compare compile compute confirm contact convert copy correct count create
    decide define delete deploy describe design determine disable document download draft draw email enable ensure estimate
    evaluate examine explain escalate export extract fetch file fill filter find fix flag forward generate get give group
    highlight identify implement import improve include inspect install investigate issue keep label let list load log look
    make mark measure mention merge migrate move name note notify open order organize outline page pick ping plan plot post predict
    prepare present print prioritize propose provide publish pull push rank read recommend record reduce refactor refund
    reject release remind remove rename reopen rerun replace reply report reproduce request research reserve reset resolve respond
    restart restore return review rewrite roll rollback run save say schedule search select send set share show sign
    simplify solve sort specify split start state stop store submit suggest sum summarise summarize take tell test text tidy
    trace track train translate tag triage try turn unlock update upgrade upload use validate verify visualize walk warn work
    write
    """
)
_LEADS: Final = re.compile(
    r"^(?:(?:please|kindly|also|then|next|first(?:ly)?|second(?:ly)?|third(?:ly)?|finally|lastly|afterwards|after that|"
    r"and|now|next up|so|ok|okay|hi|hello|hey|thanks|once done|when done)\b[\s,:]*|"
    r"(?:can|could|would|will) you (?:please |also |then |kindly )*|"
    r"(?:i(?:'d| would)? (?:want|need|like|love)(?: you)?(?: to)?|we need(?: you)?(?: to)?|you (?:should|must|need to)|"
    r"i'd like(?: you)?(?: to)?|make sure(?: to)?|be sure to|let's|help me(?: to)?|your (?:task|job) is to)\s+)+",
    re.IGNORECASE,
)
_WANTED: Final = re.compile(
    r"\s*(?:please\s+)?(?:i(?:'d| would)? (?:want|need|like)\b|we need\b|(?:could|can|would) you\b)", re.IGNORECASE
)
_ITEM: Final = re.compile(r"^\s*(?:[-*•+]|\d{1,2}[.)]|\(?[a-z][.)]|\[[ xX]?\])\s+(\S.*)$")
_FENCE: Final = re.compile(r"```.*?(?:```|\Z)|<(\w+)>.*?</\1>", re.DOTALL)
_QUOTED: Final = re.compile(r"\"[^\"\n]{2,}\"|“[^”\n]{2,}”|`[^`\n]+`")
_ABBREVIATION: Final = re.compile(
    r"\b(?:e\.g|i\.e|etc|vs|mr|mrs|ms|dr|no|approx|inc|ltd|st|fig|cf|al)\.$", re.IGNORECASE
)
_SENTENCE: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|;\s+")
_JOINT: Final = re.compile(
    r",?\s+(?:and\s+then|then|and\s+also|and|plus|as\s+well\s+as)\s+|,\s+(?:then\s+|and\s+)?", re.IGNORECASE
)
_QUESTION: Final = re.compile(
    r"^(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|has|have|should|can|could)\b",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W_][\w.#@/-]*[^\W_]|[^\W_]", re.UNICODE)
_LIMIT: Final = re.compile(
    r"^(?:use|keep|limit|answer|reply|respond|format|be|do not|don't|never|always|avoid|without|remember|note)\b|"
    r"\b(?:at most|at least|no more than|no longer than|maximum|up to \d+|in \d+ words|words|sentences|characters)\b|"
    r"\b(?:in|as) (?:english|german|french|spanish|json|markdown|csv|bullets?|plain text|one (?:line|sentence|paragraph))\b",
    re.IGNORECASE,
)
"""How to answer, not what: nobody's answer says so of itself."""
_ON_THE_WAY: Final = re.compile(
    r"(?:analy[sz]e|check|collect|compare|compose|describe|examine|explain|fetch|find|gather|get|inspect|investigate|load|"
    r"look|open|outline|read|rephrase|research|review|reword|rewrite|search|shorten|simplify|study|summari[sz]e|"
    r"translate|understand)\b",
    re.IGNORECASE,
)
_COMMON: Final = _words(
    """
    a about above add after again against all also always am an and any anything are as ask at back based be because been
    before being below between both brief briefly but by can change check clear clearly come could create day detail
    detailed details did do does doing done down during each either else every everything explain few find first for from
    further get give given go good got had has have having he help her here him his how i if in include including into is
    it its itself just keep last least less let like look made make many may me might more most much must my need needs
    new next no nor not now of off on once one only or other our out over own per please possible prepare provide put
    quick quickly rather read really said same say see send set shall she should show so some something such sure take
    tell than thank thanks that the their them then there these they thing things this those three through to today too
    try two under until up us use user using very via want was way we well were what when where whether which while who
    whom whose why will with within without work would write yes yet you your
    """
)
_SAME: Final = (
    _words("email e-mail mail notify notified inform message wrote contact sent"),
    _words("refund reimburse credit money paid"),
    _words("cancel void"),
    _words("deploy rollout ship release live"),
    _words("rollback revert back"),
    _words("delete remove gone drop"),
    _words("translate translation"),
    _words("schedule reschedule book calendar appointment meeting"),
    _words("post publish slack channel"),
    _words("plot chart graph figure diagram draw"),
    _words("test tests pytest"),
    _words("close resolve"),
)
"""Words for one deed. Who asks to have somebody emailed is answered by "I have notified her"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One thing that a request asks for."""

    id: str
    """``a1``, ``a2`` …"""
    text: str
    terms: frozenset[str]
    """Its telling words and numbers, cut to their stems; empty where it has none, and then no rule judges it."""


def asks_of(request: str) -> tuple[Ask, ...]:
    """What a request asks for, in order. A request in which no rule finds an ask is one as a whole."""
    text = _FENCE.sub("\n", request[:_REQUEST_CHARS_MAX])
    found: list[str] = []
    prose: list[str] = []
    for line in text.splitlines():
        item = _ITEM.match(line)
        if line.lstrip().startswith(">"):
            continue
        if item is None:
            prose.append(line)
            continue
        found += _of_prose(prose)
        prose = []
        # An item of a list is asked for however it is worded, but what is in it may be several things.
        found += _parts(item[1], listed=True)
    found += _of_prose(prose)
    whole = " ".join(text.split())
    return asks_from(found or ([whole] if whole else []))


def asks_from(texts: Iterable[str]) -> tuple[Ask, ...]:
    """Asks that somebody else has told apart, e.g. a model; the same one twice is one."""
    seen: dict[str, str] = {}
    for text in texts:
        flat = " ".join(text.split())[:_ASK_CHARS_MAX]
        if flat:
            seen.setdefault(flat.casefold(), flat)
    chosen = list(seen.values())[:ASKS_MAX]
    return tuple(Ask(id=f"a{place}", text=text, terms=terms_of(text)) for place, text in enumerate(chosen, 1))


def terms_of(text: str) -> frozenset[str]:
    """The telling words of a text, each cut to its stem, and its numbers whole; small words are left out."""
    found: set[str] = set()
    for match in _WORD.finditer(text):
        word = match[0].casefold()
        if any(letter.isdigit() for letter in word):
            found.add(word.strip(".,#"))
        found |= {_stem(part) for part in re.split(r"[\W_\d]+", word) if len(part) > 2 and part not in _COMMON}
    return frozenset(found)


def anchors_of(text: str) -> frozenset[str]:
    """What of an ask its fulfilment must name: numbers, ids, addresses, names in capitals, and deeds of the world.

    Everything else is put in other words too often: a spreadsheet that is to be cleaned up is a tidy sheet in the end.
    """
    found: set[str] = set()
    for place, match in enumerate(_WORD.finditer(text)):
        word = match[0]
        if place == 1 and word.isdigit():
            # "Generate 10 names": how many, not which.
            continue
        if any(letter.isdigit() for letter in word) or "@" in word or (place and word[0].isupper() and len(word) > 1):
            found |= terms_of(word)
    led = terms_of(_led(text).partition(" ")[0])
    return frozenset(found | {term for deed in _DEEDS if not deed.isdisjoint(led) for term in deed})


def touches(ask: Ask, said: frozenset[str]) -> bool:
    """True where a text (its terms) speaks of what was asked by one telling word, or where rules cannot tell."""
    anchors = anchors_of(ask.text)
    return not anchors or not (anchors | ask.terms).isdisjoint(said)


def _stem(word: str) -> str:
    return (word[:-1] if word.endswith("s") and not word.endswith("ss") else word)[:_STEM]


_DEEDS: Final = tuple(frozenset(map(_stem, words)) for words in _SAME)


def untouched(asks: Sequence[Ask], text: str) -> tuple[Ask, ...]:
    """The asks of which a text says no word at all.

    Only of several asks: whoever is asked one thing answers that, in words of their own. A text that answers in as
    many numbered parts as were asked for is taken to speak of each.
    """
    if len(asks) < 2:
        return ()
    items = sum(_ITEM.match(line) is not None for line in text.splitlines())
    if items >= len(asks):
        return ()
    said = terms_of(text)
    return tuple(ask for ask in asks if not touches(ask, said))


def on_the_way(ask: Ask) -> bool:
    """True for an ask whose fulfilment need not be told: a question, a look at something, a text that is made over."""
    led = _led(ask.text)
    return _QUESTION.match(led) is not None or _ON_THE_WAY.match(led) is not None


def _of_prose(lines: Sequence[str]) -> list[str]:
    found: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        flat = " ".join(paragraph.split())
        for sentence in _sentences(flat):
            if not sentence.endswith(":"):
                found += _parts(sentence)
    return found


def _sentences(text: str) -> list[str]:
    pieces: list[str] = []
    for piece in _SENTENCE.split(text):
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] += " " + piece
        else:
            pieces.append(piece)
    return [piece.strip() for piece in pieces if piece.strip()]


def _parts(sentence: str, *, listed: bool = False) -> list[str]:
    """A sentence as the asks in it; nothing where it asks for nothing."""
    # Joints inside quotations are none: they are blanked for the search, by as many characters.
    blank = _QUOTED.sub(lambda quoted: "\x00" * len(quoted[0]), sentence)
    if _LIMIT.search(_led(blank)) or (not listed and not _asks(blank)):
        return []
    cuts = [match for match in _JOINT.finditer(blank) if _commands(blank[match.end() :])]
    if not cuts or not (_commands(blank) or _QUESTION.match(_led(blank))):
        return [sentence.strip(" .;")]
    found: list[str] = []
    start = 0
    for cut in cuts:
        found.append(sentence[start : cut.start()])
        start = cut.end()
    found.append(sentence[start:])
    stripped = (part.strip(" .,;") for part in found)
    return [part for part in stripped if part and not _LIMIT.search(_led(part))]


def _led(text: str) -> str:
    return _LEADS.sub("", text, count=1)


def _asks(sentence: str) -> bool:
    if sentence.rstrip("\"')] ").endswith("?"):
        return True
    return _commands(sentence) or _WANTED.match(sentence) is not None


def _commands(text: str) -> bool:
    """True where a text begins with a verb of command: no noun follows that makes it one, as in "report says"."""
    text = text.lstrip("\"'( ")
    if re.match(r"(?:please )?(?:make|be) sure\b|ensure\b", text, re.IGNORECASE):
        return True
    led = _led(text)
    words = re.match(r"([A-Za-z]+)(?:-\w+)?(?:\s+([A-Za-z]+))?", led)
    if words is None or words[1].casefold() not in _VERBS:
        return False
    return (words[2] or "").casefold() not in ("is", "are", "was", "were", "has", "have", "had", "says", "said", "will")
