"""Scripted models that behave badly, the same in every framework, and the small world they work in.

A model here has no words of its own: it reads what is in front of it, does the next thing, and has one fault. It
reacts to what it is told as real ones do: it does the tasks that a refusal lists, uses the tool that an error names,
and knows nothing that has scrolled out of its window. So a capability can help it, or not. What was done is read off
the world, never off what the model says. Plain Python, since it also runs where Pilothouse is not installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

CALLS_MAX = 60
"""A run that has not ended by then is stopped: nobody pays for more."""
ORDERS = 12
_FIRST = 4401
_VERBS = ("refund", "cancel", "flag")
_ASK = re.compile(r"(refund|cancel|flag) order (\d{4})")
_ROWS = 3_000
_DECLINED = 1_777


class CallsUsedUp(Exception):
    """The run was stopped: it made as many model calls as one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call."""

    tool: str
    arguments: dict[str, Any] | str
    """A text where the model wrote something that is no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as every framework has it."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model does: tool calls, or else a final answer."""

    text: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(slots=True)
class World:
    """An order desk. Its tools do what they are told, once; what was done is what counts."""

    done: list[str] = field(default_factory=lambda: list[str]())
    answered: str = ""
    twice: int = 0
    asks: tuple[str, ...] = ()
    """What the user asked for; empty where the question is about data."""
    row_a_line: bool = False

    def act(self, verb: str, order: int, amount: float = 0.0) -> str:
        """What ``refund_order`` and the others do."""
        what = f"{verb} order {order}"
        # A desk is talkative: this is what pushes a request out of a short window.
        record = " ".join(f"field_{number}={order * 31 + number}" for number in range(60))
        if what in self.done:
            self.twice += 1
            return f"already done: {what}"
        self.done.append(what)
        return f"ok: {what} is done. {record}"

    def look_up(self, order: int) -> str:
        """An order's record."""
        return f"record of {order}: overpaid 12.50, customer c{order}"

    def payments(self) -> str:
        """Three thousand payments as JSON, more than a context holds; one was declined."""
        rows = [
            {"id": number, "state": "declined" if number == _DECLINED else "paid", "card": f"c{number % 97}", "note": "n" * 60}
            for number in range(_ROWS)
        ]  # fmt: skip
        return "\n".join(map(json.dumps, rows)) if self.row_a_line else json.dumps(rows)

    @property
    def finished(self) -> int:
        """How many of the asks are done in the world."""
        if not self.asks:
            return int(str(_DECLINED) in self.answered)
        return sum(ask in self.done for ask in self.asks)

    @property
    def wanted(self) -> int:
        """How many there were."""
        return len(self.asks) or 1


@dataclass(slots=True)
class BadModel:
    """A model with one fault, and the count of what it cost."""

    fault: str
    window: int = 100_000
    """Tokens it has in view: the system prompt and the newest messages that fit."""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    _since_told: int = 0
    _first_slip: bool = True

    def reply(self, messages: Sequence[Message], tools: Sequence[str], tools_chars: int) -> Reply:
        """The next thing it does.

        Raises:
            CallsUsedUp: it was asked too often.
        """
        if self.calls >= CALLS_MAX:
            raise CallsUsedUp(f"stopped after {CALLS_MAX} model calls")
        self.calls += 1
        self.tokens_in += (sum(len(message.text) for message in messages) + tools_chars) // 4
        found = FAULTS[self.fault](self, _View.of(messages, tools, self.window))
        self.tokens_out += len(found.text + "".join(json.dumps(call.arguments) for call in found.calls)) // 4 + 1
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What the model can see, and what it makes of it."""

    text: str
    last: str
    """The newest message that is not the plan: what it was just told."""
    tools: tuple[str, ...]
    asks: tuple[str, ...]
    """Asks in view, in order."""
    done: frozenset[str]
    """Asks that a tool's answer in view says are done, or a plan in view."""
    ticked: frozenset[str]
    """Asks that a plan in view says are done."""
    planned: bool

    @staticmethod
    def of(messages: Sequence[Message], tools: Sequence[str], window: int) -> _View:
        shown: list[str] = []
        room = window * 4
        for message in reversed(messages):
            if message.role == "system":
                continue
            # Of a message larger than what is left, its end is in view.
            shown.insert(0, message.text[-room:] if room else "")
            room = max(0, room - len(message.text))
        text = "\n".join([*(message.text for message in messages if message.role == "system"), *shown])
        said = [part for part in shown if part]
        newest = [part for part in said if not _PLAN_SHOWN.search(part)] or said
        status = _plan_states(text)
        worked = {
            f"{verb} order {order}" for verb, order in re.findall(r"(?:ok|already done): (\w+) order (\d{4})", text)
        }
        ticked = {ask for ask, state in status.items() if state == "done"}
        asks = tuple(dict.fromkeys(f"{verb} order {order}" for verb, order in _ASK.findall(text)))
        return _View(
            text=text,
            last=newest[-1],
            tools=tuple(tools),
            asks=asks,
            done=frozenset(worked | ticked),
            ticked=frozenset(ticked),
            planned=bool(status),
        )

    @property
    def worked(self) -> frozenset[str]:
        """Asks that a tool's answer in view says are done."""
        found = re.findall(r"(?:ok|already done): (\w+) order (\d{4})", self.text)
        return frozenset(f"{verb} order {order}" for verb, order in found)

    @property
    def next_ask(self) -> str | None:
        """The first ask in view that does not seem done."""
        return next((ask for ask in self.asks if ask not in self.done), None)

    @property
    def refused(self) -> bool:
        """True where it was just told that tasks are open."""
        return "Not finished:" in self.last

    @property
    def plans(self) -> bool:
        """True where there is a tool to plan with."""
        return any(tool in self.tools for tool in ("todo_write", "write_plan", "write_todos"))


_PLAN_SHOWN = re.compile(r"^(The user's request, word for word|<plan-reminder>)")
_LISTED = (
    re.compile(r"\[(.)\] \d+\. (\w+ order \d{4})"),
    re.compile(r"\d+\. \[(.)\] (\w+ order \d{4})"),
    re.compile(r"'content': '(\w+ order \d{4})', 'status': '(\w+)'"),
)


def _plan_states(text: str) -> dict[str, str]:
    """Each planned ask with its state as the newest plan in view has it."""
    found: dict[str, str] = {}
    for pattern in _LISTED:
        for first, second in pattern.findall(text):
            mark, ask = (second, first) if " order " in first else (first, second)
            found[ask] = "done" if mark in ("x", "completed", "-") else "open"
    return found


# -- what a model without a fault does, step by step -----------------------------------------------------------------


def _plan_first(view: _View) -> Reply | None:
    """Write the plan where there is a tool for it and no plan in view."""
    if view.planned or not view.plans or not view.asks or view.worked:
        return None
    return Reply(calls=(write_plan(view.tools, view.asks, ()),))


def write_plan(tools: Sequence[str], asks: Sequence[str], done: Sequence[str]) -> Call:
    """The call that writes the plan, in the dialect of whichever tool there is."""
    if "todo_write" in tools:
        return Call(tool="todo_write", arguments={"tasks": list(asks)})
    items = [{"content": ask, "status": "completed" if ask in done else "pending"} for ask in asks]
    if "write_plan" in tools:
        return Call(tool="write_plan", arguments={"items": items})
    return Call(tool="write_todos", arguments={"todos": items})


def _tick(view: _View, asks: Sequence[str], note: str) -> tuple[Call, ...]:
    """The calls that say in the plan that these are done."""
    if "todo_update" in view.tools:
        ids = {ask: number for number, ask in re.findall(r"\[.\] (\d+)\. (\w+ order \d{4})", view.text)}
        changed = {"state": "completed", "note": note} if note else {"state": "completed"}
        return tuple(Call(tool="todo_update", arguments={"id": ids[ask], **changed}) for ask in asks if ask in ids)
    return (write_plan(view.tools, view.asks, [*view.done, *asks]),) if view.plans else ()


def _behind(view: _View) -> list[str]:
    """Asks done in the world, as far as it sees, and still open in the plan."""
    return [ask for ask in view.asks if ask in view.worked and ask not in view.ticked] if view.planned else []


def _do(ask: str, tool: str = "") -> Reply:
    verb, _, order = ask.split()
    return Reply(calls=(Call(tool=tool or f"{verb}_order", arguments={"order": int(order)}),))


def _work(view: _View) -> Reply:
    """The next step: the plan, then what is open, each ticked off with its evidence."""
    planned = _plan_first(view)
    if planned is not None:
        return planned
    behind = _behind(view)
    if behind:
        calls = _tick(view, behind, "the desk said ok")
        if calls:
            return Reply(calls=calls)
    ask = view.next_ask
    return _do(ask) if ask is not None else Reply(text="All done.")


# -- the faults --------------------------------------------------------------------------------------------------------


def _none(model: BadModel, view: _View) -> Reply:
    return _work(view)


def _neglects(model: BadModel, view: _View) -> Reply:
    """Writes the plan and never looks after it, until it is told that tasks are open or a plan lies untouched."""
    told = view.refused or re.search(
        r"plan (has not|was not|is not|untouched)|untouched|not (been )?updated", view.last
    )
    behind = _behind(view)
    if told and behind:
        return Reply(calls=_tick(view, behind, "the desk said ok"))
    planned = _plan_first(view)
    if planned is not None:
        return planned
    ask = view.next_ask if not behind else next((one for one in view.asks if one not in view.done), None)
    return _do(ask) if ask is not None else Reply(text="All done.")


def _early(model: BadModel, view: _View) -> Reply:
    """Has enough after four, whatever the plan says; refused, it does four more."""
    if view.refused:
        model._since_told = 0
    found = _work(view)
    acts = any(call.tool.endswith("_order") for call in found.calls)
    if acts and model._since_told >= 4:
        return Reply(text="I have handled the orders. Everything is done.")
    model._since_told += acts
    return found


def _ticks(model: BadModel, view: _View, note: str) -> Reply:
    """Says that the second half is done without doing it; asked for evidence that it has not, it does it."""
    asked = (
        re.search(r'"?(\d+): (\w+ order \d{4})', view.last)
        if "a task that is completed has a note" in view.last
        else None
    )
    if asked is not None and not note:
        return _do(asked.group(2))
    found = _work(view)
    ask = view.next_ask
    if (
        ask is not None
        and found.calls
        and found.calls[0].tool.endswith("_order")
        and len(view.done) >= len(view.asks) // 2
    ):
        calls = _tick(view, [ask], note)
        return Reply(calls=calls) if calls else Reply(text="All done.")
    return found


def _loops(model: BadModel, view: _View) -> Reply:
    """Looks the fourth order up again and again, until it is told that it does."""
    told = re.search(r"same[ _](call|arguments|result)|again and again|repeat|identical", view.last, re.IGNORECASE)
    if told:
        model._since_told = 1
    if len(view.worked) == 3 and not model._since_told and not _behind(view):
        return Reply(calls=(Call(tool="look_up", arguments={"order": _FIRST + 3}),))
    return _work(view)


def _floods(model: BadModel, view: _View) -> Reply:
    """Asks for everything at once. It looks into what stays outside by whichever tool it is given for that."""
    if '"declined"' in view.text and "Which payment" in view.text:
        near = re.search(r'"id": ?(\d+), ?"state": ?"declined"', view.text)
        if near:
            return Reply(text=f"Payment {near.group(1)} was declined.")
    if "Which payment" not in view.text:
        return Reply(text="Here are your payments.")
    handle = re.search(r"\bdata_[0-9a-f]{10,}", view.text)
    if handle and "jq" in view.tools:
        program = '.[] | select(.state == "declined") | {id, state} | tojson | gsub(":"; ": ") | gsub(","; ", ")'
        answer = re.search(r'\\"id\\": (\d+)', view.last)
        if answer:
            return Reply(text=f"Payment {answer.group(1)} was declined.")
        return Reply(calls=(Call(tool="jq", arguments={"id": handle.group(), "program": program}),))
    spilled = re.search(r"read_tool_result\(handle='([^']+)'", view.text)
    if spilled and "read_tool_result" in view.tools and model._since_told < 3:
        model._since_told += 1
        return Reply(
            calls=(Call(tool="read_tool_result", arguments={"handle": spilled.group(1), "pattern": "declined"}),)
        )
    path = re.search(r"/large_tool_results/[\w-]+(?:\.\w+)?", view.text)
    if path and "grep" in view.tools and model._since_told < 3:
        model._since_told += 1
        search = {"pattern": "declined", "path": path.group(), "output_mode": "content"}
        return Reply(calls=(Call(tool="grep", arguments=search),))
    if "list_payments" in view.tools and model.calls == 1:
        return Reply(calls=(Call(tool="list_payments", arguments={}),))
    return Reply(text="I found no declined payment.")


def _renamed(model: BadModel, view: _View) -> Reply:
    """Calls tools by the names it learned elsewhere; told which there are, it takes the nearest."""
    found = _work(view)
    call = found.calls[0] if found.calls else None
    if call is None or not call.tool.endswith("_order"):
        return found
    verb = call.tool.removesuffix("_order")
    learned = {"refund": "refundOrder", "cancel": "order_cancel", "flag": "flag_orders"}[verb]
    if learned in view.last:
        named = re.findall(r"\w+_order\b", view.last)
        near = get_close_matches(call.tool, named, n=1)
        if near:
            return Reply(calls=(Call(tool=near[0], arguments=call.arguments),))
    return Reply(calls=(Call(tool=learned, arguments=call.arguments),))


def _malformed(model: BadModel, view: _View) -> Reply:
    """Writes a plan as one text and every third order with a sign in front; told so, it writes it right."""
    found = _work(view)
    call = found.calls[0] if found.calls else None
    if call is None or isinstance(call.arguments, str):
        return found
    # What a tool says of arguments that it cannot read, in each framework's words.
    told = re.search(r"\berror|invalid|not understood", view.last, re.IGNORECASE)
    if told:
        return found
    if call.tool in ("todo_write", "write_plan", "write_todos") and not view.planned:
        key = next(iter(call.arguments))
        return Reply(
            calls=(
                Call(tool=call.tool, arguments={key: "\n".join(f"{n}. {ask}" for n, ask in enumerate(view.asks, 1))}),
            )
        )
    order = call.arguments.get("order")
    if isinstance(order, int) and order % 3 == 0:
        return Reply(calls=(Call(tool=call.tool, arguments={"order": f"#{order}"}),))
    if isinstance(order, int) and order % 3 == 1:
        return Reply(calls=(Call(tool=call.tool, arguments=f'{{"order": {order}'),))
    return found


FAULTS: dict[str, Callable[[BadModel, _View], Reply]] = {
    "none": _none,
    "drops tasks": _none,
    "neglects its plan": _neglects,
    "finishes early": _early,
    "ticks off, not done": lambda model, view: _ticks(model, view, ""),
    "invents evidence": lambda model, view: _ticks(model, view, "done as asked"),
    "loops on a call": _loops,
    "floods, one line": _floods,
    "floods, row a line": _floods,
    "calls renamed tools": _renamed,
    "malformed arguments": _malformed,
}
_WINDOWS = {"drops tasks": 700, "neglects its plan": 1_500, "floods, one line": 8_000, "floods, row a line": 8_000}


def scripted(fault: str) -> tuple[BadModel, World, str]:
    """The model, its world and what the user asks."""
    model = BadModel(fault=fault, window=_WINDOWS.get(fault, 100_000))
    if fault.startswith("floods"):
        return model, World(row_a_line="row" in fault), "Which payment was declined? Answer with its id."
    asks = tuple(f"{_VERBS[number % 3]} order {_FIRST + number}" for number in range(ORDERS))
    listed = "\n".join(f"- {ask}" for ask in asks)
    return model, World(asks=asks), f"Do all of these for me, and tell me when you are done:\n{listed}"
