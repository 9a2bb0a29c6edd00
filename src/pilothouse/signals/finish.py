"""``premature_finish``: the final answer announces what was not done, claims what failed, or leaves its plan open.

English only: the words an agent announces with are listed here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from pilothouse.records import Signal

from .calls import Call
from .facts import SpanFact
from .view import View
from .wording import clipped, evidence, named

_ACTS = (
    r"(?:check|look|search|run|re-?run|create|update|fix|writ|call|fetch|find|book|cancel|process|investigat|review|examin"
    r"|start|begin|implement|read|quer|open|send|retriev|verif|analy[sz]|try|retry|test|add|edit|execut|proceed|transfer"
    r"|get|gather|comput|calculat|generat|refund|apply|install|deploy|continu|delegat|download|upload|delet|remov|mov"
    r"|chang|modif|submit|confirm|schedul|compile|build|inspect|scan|pull|load|collect|browse|visit|explor|initiat"
    r"|reset|restart|connect|make|do|use|set|handle|complet|finali[sz]|prepar|extract|compare|double-check|dig|work on)"
)
_ANNOUNCES = re.compile(
    r"\b(?:(?:i will|i'll|i’ll|we will|we'll|i am going to|i'm going to|i’m going to|going to|i shall|i need to|i still need to"
    r"|next,? i(?:'ll| will)|now i(?:'ll| will)|i am about to|i'm about to|i have to)"
    r"(?: (?:now|next|then|also|first|quickly|go ahead and|proceed to|start by|begin by|go and|just|immediately))*"
    rf" {_ACTS}\w*"
    rf"|(?:let me|let's|let us)(?: (?:now|first|quickly|go ahead and|also|just|then|next|start by|begin by))* {_ACTS}\w*"
    r"|(?:i'm|i am|i’m) (?:now |currently )?(?:checking|looking|searching|running|updating|processing|fetching|working on"
    r"|investigating|retrieving|creating|booking|cancel+ing|writing|transferring|reviewing)\b"
    r"|(?:one|a|just a) moment(?: please)?(?:,? while|[.…!]|$)|please (?:hold on|wait|stand by)|hold on (?:a|while|please)|bear with me)",
    re.IGNORECASE,
)
_NOT_NOW = re.compile(
    r"\b(?:if|once|when(?:ever)?|after|until|unless|as soon as|should you|would you|could you|can you|do you|shall i|should i"
    r"|may i|let me know|please (?:provide|confirm|share|tell|send|give|let)|happy to|glad to|be able to|be here|feel free"
    r"|tomorrow|later|next (?:week|month|time)|in the future|going forward|from now on|by (?:monday|tuesday|wednesday"
    r"|thursday|friday)|within|you(?:'ll| will)|need your|need you|need to know|need more|need the|need some|before i"
    r"|explain|walk you|break (?:it|this|that) down|summari[sz]e|clarify|rephrase|put it|be clear|give you|wait for)\b|\?",
    re.IGNORECASE,
)
_CLAIMS = re.compile(
    r"\bsuccess(?:ful|fully)?\b|\b(?:has|have|had|was|were|is|are) (?:now |been |all )*(?:been )?(?:now )?(?:booked|updated|cancel+ed|created|sent"
    r"|deleted|removed|added|changed|refunded|processed|submitted|completed|saved|fixed|deployed|scheduled|confirmed"
    r"|applied|installed|written|modified|moved|transferred|paid|issued|placed|recorded|done|all set)\b"
    r"|\bi(?:'ve| have|’ve)? (?:just |now |successfully )?(?:booked|updated|cancel+ed|created|sent|deleted|removed|added"
    r"|changed|refunded|processed|submitted|completed|saved|fixed|deployed|scheduled|confirmed|applied|installed|wrote"
    r"|written|modified|moved|transferred|issued|placed|recorded)\b|^(?:done|all done|all set|finished|completed?)\b",
    re.IGNORECASE,
)
_ADMITS = re.compile(
    r"\b(?:unfortunately|unable|not able|could ?n[o'’]t|couldn|can ?n[o'’]t|cannot|did ?n[o'’]t|didn|was ?n[o'’]t|wasn|fail\w*|errors?"
    r"|issues?|problems?|sorry|apologi\w+|however|denied|declined|rejected|refused|unavailable|not (?:be|been|have|available|possible|yet)"
    r"|instead|trouble|blocked|locked)\b",
    re.IGNORECASE,
)
_WRITES = frozenset(
    {"create", "update", "delete", "remove", "add", "book", "cancel", "send", "write", "edit", "patch", "post", "put"}
    | {"insert", "save", "set", "refund", "pay", "charge", "submit", "deploy", "apply", "commit", "push", "publish"}
    | {"modify", "change", "transfer", "order", "schedule", "issue", "close", "merge", "move", "rename", "upload"}
    | {"start", "stop", "restart", "install", "register", "assign", "execute", "place", "reserve", "grant", "revoke"}
    | {"approve", "archive", "export", "upsert", "replace", "store", "make", "mark", "reset", "enable", "disable"}
)
"""First words of the names of tools that change something."""
_FIRST_WORD = re.compile(r"[A-Z]?[a-z]+")
_PLANS = re.compile(r"to_?dos?\b|to_?do_?list|todo|plan\b|plan_|_plan|task_?list|write_?tasks", re.IGNORECASE)
_CLOSED = frozenset(
    {"completed", "complete", "done", "finished", "cancelled", "canceled", "skipped", "closed", "removed", "deleted"}
    | {"dropped"}
)
_OPEN = frozenset(
    {"pending", "in_progress", "in-progress", "in progress", "open", "todo", "to_do", "not_started", "not started"}
    | {"blocked", "active"}
)
_ITEMS = ("todos", "plan", "items", "tasks", "steps", "todo_list", "todo", "entries", "list")
_IDS = ("id", "task_id", "taskId", "todo_id", "item_id")
_END_CHARS = 400


@lru_cache(4_096)
def plans(tool: str) -> bool:
    """True for the name of a tool whose arguments are a plan or a list of things to do."""
    return _PLANS.search(tool) is not None


def premature_finish(view: View) -> Signal | None:
    """An answer that announces, claims or leaves open what was not done."""
    if view.open_ or not view.models or view.final is None:
        return None
    answer = view.answer
    if not answer:
        return None
    final = view.final
    return _claimed(view, final, answer) or _open_plan(view, final, answer) or _announced(view, final, answer)


def _announced(view: View, final: SpanFact, answer: str) -> Signal | None:
    if not (view.tools or view.tool_names or view.calls):
        # An agent without tools has nothing it could have done.
        return None
    root = view.root
    if any(fact.start_ns >= final.end_ns and (root is None or fact.start_ns <= root.end_ns) for fact in view.tools):
        return None
    sentence = announcement(answer)
    if not sentence:
        return None
    return Signal(
        name="premature_finish",
        message=f'The final answer announces an action and the trace ends there: "{clipped(sentence, 160)}"',
        evidence=(evidence(final, sentence),),
        detail={"kind": "announced"},
    )


def announcement(answer: str) -> str:
    """The sentence at the end of an answer that says what will be done now; empty where there is none."""
    text = answer.strip()
    tail = text[-_END_CHARS:]
    if tail.endswith("?"):
        return ""
    sentences = [piece.strip() for piece in re.split(r"(?<=[.!?…])\s+|\n+", tail) if piece.strip()]
    for sentence in reversed(sentences[-2:]):
        if _NOT_NOW.search(sentence):
            # What is asked of the user last is what the answer waits for.
            return ""
        if _ANNOUNCES.search(sentence):
            return sentence
    return ""


def _claimed(view: View, final: SpanFact, answer: str) -> Signal | None:
    before = [call for call in view.calls if call.fact.start_ns < final.end_ns and call.fact is not final]
    if not before:
        return None
    failed = _last_failed_write(before, view)
    if failed is None or not _CLAIMS.search(answer) or _ADMITS.search(answer):
        return None
    claim = _CLAIMS.search(answer)
    assert claim is not None
    said = answer[max(0, claim.start() - 60) : claim.end() + 60]
    return Signal(
        name="premature_finish",
        severity="critical",
        message=f'The final answer claims success ("{clipped(said, 120)}") although {clipped(failed.tool, 80)} failed '
        f'("{clipped(failed.failure, 120)}") and was not done again.',
        evidence=(evidence(failed.fact, failed.failure), evidence(final, said)),
        detail={"kind": "claimed", "tool": failed.tool},
    )


def _last_failed_write(calls: list[Call], view: View) -> Call | None:
    """The last call that changes something, where it failed."""
    for call in reversed(calls):
        if not _writes(call):
            continue
        return call if call.failure else None
    return None


def _writes(call: Call) -> bool:
    if call.fact.kind == "tool" and call.fact.purpose:
        return call.fact.purpose in ("write", "external")
    # Without the server's or module's name before it: mcp__shop__refund, orders.create.
    word = _FIRST_WORD.match(re.split(r"__|[./: ]", call.tool)[-1])
    return word is not None and word[0].lower() in _WRITES


def _open_plan(view: View, final: SpanFact, answer: str) -> Signal | None:
    if answer.rstrip().endswith("?"):
        # The answer asks the user: the plan goes on with the next turn.
        return None
    later: dict[str, bool] = {}
    for call in reversed(view.calls):
        if not plans(call.tool) or call.failure:
            continue
        kept = call.fact.kept_text if call.fact.kind == "tool" else ""
        found = open_items(kept or call.arguments)
        if found is None:
            if (change := item_change(call.arguments)) is not None:
                later.setdefault(*change)
            continue
        items = [words for id, words in found.items() if later.get(id, True)]
        # Where a plan's items have no ids that are known here, so many closed ones may be any of them.
        if not items or (not later.keys() & found.keys() and list(later.values()).count(False) >= len(items)):
            return None
        named_items = "; ".join(clipped(item, 60) for item in items[:3])
        return Signal(
            name="premature_finish",
            message=f"The trace ended with {len(items)} open {'item' if len(items) == 1 else 'items'} in its plan: "
            f"{named_items}.",
            evidence=(evidence(call.fact, named_items), evidence(final, f"{named(final)} ends here")),
            value=float(len(items)),
            limit=0.0,
            unit="items",
            detail={"kind": "open plan", "open": [clipped(item, 100) for item in items[:20]]},
        )
    return None


def item_change(arguments: str) -> tuple[str, bool] | None:
    """The id of the one item that a call changes, and whether it is open then; None where it changes none."""
    try:
        value: Any = json.loads(arguments)
    except ValueError:
        return None
    if not isinstance(value, Mapping):
        return None
    fields = cast("Mapping[str, Any]", value)
    id = next((fields[name] for name in _IDS if isinstance(fields.get(name), str | int)), None)
    status = fields.get("status", fields.get("state"))
    if id is None or not isinstance(status, str) or status.lower() not in _OPEN | _CLOSED:
        return None
    return str(id), status.lower() in _OPEN


def open_items(arguments: str) -> dict[str, str] | None:
    """What a plan in a tool's arguments still has open, by the items' ids or places from 1; None where it has no plan."""
    try:
        value: Any = json.loads(arguments)
    except ValueError:
        return None
    if isinstance(value, Mapping):
        body = cast("Mapping[str, Any]", value)
        value = next((body[name] for name in _ITEMS if name in body), None)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
    if not isinstance(value, list):
        return None
    seen = 0
    found: dict[str, str] = {}
    for place, item in enumerate(cast("list[Any]", value), 1):
        if not isinstance(item, Mapping):
            continue
        fields = cast("Mapping[str, Any]", item)
        status = fields.get("status", fields.get("state"))
        done = fields.get("done", fields.get("completed"))
        if isinstance(done, bool):
            seen += 1
            open_ = not done
        elif isinstance(status, str) and status.lower() in _OPEN | _CLOSED:
            seen += 1
            open_ = status.lower() in _OPEN
        else:
            continue
        if open_:
            words = next((fields[name] for name in ("content", "step", "title", "task", "text", "name", "description") if fields.get(name)), "")  # fmt: skip
            id = next((fields[name] for name in _IDS if isinstance(fields.get(name), str | int)), place)
            found[str(id)] = str(words) or "an item"
    return found if seen else None
