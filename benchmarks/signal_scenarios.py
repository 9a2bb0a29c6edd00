"""Agent runs with a known fault, and their near misses: what the scripted model says, what the tools do, what is true.

The label of a scenario is what was put into it. Nothing here knows a rule or a threshold; the numbers are chosen by
what a person would call a loop, a storm or a stall, with the near misses on the other side of that.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pilothouse.testing import Fault, Reply, ToolCall, Usage

ToolFunction = Callable[[dict[str, Any], int], str]
"""From the arguments and how often the tool was called before to the result; may raise."""

MINUTE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run."""

    family: str
    """The signal it is about."""
    kind: str
    """Which variant of it."""
    truth: frozenset[str]
    """Every signal that ought to be found."""
    replies: tuple[Reply, ...]
    """What the model answers, in order."""
    tools: dict[str, ToolFunction] = field(default_factory=dict[str, ToolFunction])
    offered: tuple[str, ...] = ()
    """Tools the model is offered; none given: those that exist."""
    question: str = "Please take care of this."
    agent: str = ""
    """Empty: an agent of its own."""
    user: str = ""
    model: str = "gpt-4o-mini"
    tokens_max: int | None = None
    """Of the last call."""
    took_s: float = 20.0
    """To how many seconds of wall clock the run is stretched."""
    raises: bool = False
    """The agent raises where the replies end without an answer."""
    shape: str = ""
    """What is done to its spans: ``open``, ``headless``, ``twice``, ``backwards``, ``future``, ``no content``."""
    silent_s: float = 0.0
    """How long nothing arrives after its last span before one looks."""
    beats: tuple[float, ...] = ()
    """Seconds after its last span at which its process sends heartbeats."""
    goodbye: bool = False
    waits: str = ""
    """What its open span waits for, as the heartbeats say."""
    unknown_tool_text: str = ""
    """What the framework answers to the call of a tool that does not exist."""


def say(text: str, **more: Any) -> Reply:
    """An answer."""
    return Reply(text=text, **more)


def call(name: str, arguments: dict[str, Any] | None = None, *, text: str = "", **more: Any) -> Reply:
    """A call of one tool."""
    return Reply(text=text, calls=(ToolCall(name=name, arguments=arguments or {}),), **more)


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """Several calls at once."""
    return Reply(calls=tuple(ToolCall(name=name, arguments=arguments) for name, arguments in wanted))


def returns(value: Any) -> ToolFunction:
    """A tool that always gives the same."""
    text = value if isinstance(value, str) else json.dumps(value)
    return lambda arguments, count: text


def echoes(key: str = "result") -> ToolFunction:
    """A tool whose result depends on its arguments."""
    return lambda arguments, count: json.dumps({key: f"about {json.dumps(arguments, sort_keys=True)}"})


def shuffled(dice: random.Random, arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with their keys in another order, and whole numbers in another form."""
    names = list(arguments)
    dice.shuffle(names)
    return {
        name: float(value) if isinstance(value := arguments[name], int) and not isinstance(value, bool) and dice.random() < 0.3 else value
        for name in names
    }  # fmt: skip


def raising(message: str, error: type[Exception] = ValueError) -> ToolFunction:
    """A tool that raises."""

    def tool(arguments: dict[str, Any], count: int) -> str:
        raise error(message)

    return tool


def failing_first(times: int, failure: str, then: str) -> ToolFunction:
    """A tool that returns a failure at first, and then works."""
    return lambda arguments, count: failure if count < times else then


TOPICS = ("order 4711", "invoice 2210", "the spring report", "ticket 88", "the staging cluster", "customer Ada",
          "flight HAT030", "warehouse north", "the nightly build", "policy 12", "claim 5031", "the mailing list")  # fmt: skip
DONE = (
    "The parcel arrives on Thursday.",
    "There are 14 pieces left in the warehouse.",
    "The report lists three causes; the largest one is the supplier.",
    "Nothing in the log explains the delay.",
    "Both vendors answered within a day. Let me know if you want the details.",
    "The error in the import came from a missing column, which is described above.",
    "I could not find a cheaper flight.",
    "Here is the summary you asked for: sales rose by 4 %, costs by 2 %.",
    "The total is 1,204.50 EUR.",
    "Yes.",
    "You're welcome! If you have any other questions, feel free to reach out.",
    "Which of the two orders do you mean?",
)


def scenarios(seed: int, each: int) -> Iterator[Scenario]:
    """All families, ``each`` variants of every kind. The same seed gives the same scenarios."""
    for family in FAMILIES:
        dice = random.Random(f"{seed} {family.__name__}")
        for _ in range(each):
            yield from family(dice)


def _arguments(dice: random.Random) -> dict[str, Any]:
    return {"id": dice.randrange(10_000), "topic": dice.choice(TOPICS), "limit": dice.choice([5, 10, 20])}


def _tool(dice: random.Random) -> str:
    return dice.choice(
        ["check_stock", "search_web", "get_order", "read_page", "list_files", "query_table", "get_status"]
    )


def healthy(dice: random.Random) -> Iterator[Scenario]:
    """Runs with nothing wrong: short, long, without tools, with many tools side by side."""
    tool = _tool(dice)
    yield Scenario(family="healthy", kind="one call", truth=frozenset(), tools={tool: echoes()},
                   replies=(call(tool, _arguments(dice)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="healthy", kind="no tools", truth=frozenset(), replies=(say(dice.choice(DONE)),))
    many = tuple(call(dice.choice(["read_file", "grep", "edit_file"]), {"path": f"src/part{n}.py", "n": n}) for n in range(dice.randrange(20, 45)))  # fmt: skip
    yield Scenario(family="healthy", kind="long", truth=frozenset(), took_s=600,
                   tools={name: echoes() for name in ("read_file", "grep", "edit_file")},
                   replies=(*many, say(dice.choice(DONE))))  # fmt: skip
    wide = calls(*((tool, {"city": f"city {n}"}) for n in range(dice.randrange(6, 12))))
    yield Scenario(family="healthy", kind="side by side", truth=frozenset(), tools={tool: echoes()},
                   replies=(wide, say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="healthy", kind="slow tools", truth=frozenset(), tools={tool: echoes()}, took_s=3_000,
                   replies=(call(tool, {"a": 1}), call(tool, {"a": 2}), say(dice.choice(DONE))))  # fmt: skip


def loop(dice: random.Random) -> Iterator[Scenario]:
    """The same call again and again."""
    tool, arguments, times = _tool(dice), _arguments(dice), dice.randrange(5, 14)
    same = {"status": "counting", "pieces": dice.randrange(90)}

    def stamped(given: dict[str, Any], count: int) -> str:
        return json.dumps(
            {**same, "checked_at": f"2026-03-0{1 + count % 9}T10:{count:02d}:00Z", "elapsed_ms": 10 + count}
        )

    yield Scenario(family="loop", kind="same result", truth=frozenset({"loop"}), tools={tool: returns(same)},
                   replies=(*(call(tool, shuffled(dice, arguments)) for _ in range(times)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="loop", kind="other time stamps", truth=frozenset({"loop"}), tools={tool: stamped},
                   replies=(*(call(tool, shuffled(dice, arguments)) for _ in range(times)), say(dice.choice(DONE))))  # fmt: skip
    aside = dice.randrange(2, 5)
    yield Scenario(family="loop", kind="with an aside", truth=frozenset({"loop"}),
                   tools={tool: returns(same), "think": returns("ok")},
                   replies=(*(call(tool, arguments) for _ in range(aside)), call("think", {"about": "what next"}),
                            *(call(tool, arguments) for _ in range(times - aside)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="loop", kind="until the limit", truth=frozenset({"loop", "no_answer", "error"}), raises=True,
                   tools={tool: returns(same)}, replies=tuple(call(tool, arguments) for _ in range(times + 3)))  # fmt: skip
    yield Scenario(family="loop", kind="with words", truth=frozenset({"loop"}), tools={tool: returns("nothing found")},
                   replies=(*(call(tool, arguments, text=f"Let me try once more ({n}).") for n in range(times)),
                            say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="loop", kind="endless polling", truth=frozenset({"loop"}), took_s=900,
                   tools={"get_status": lambda given, count: json.dumps({"progress": count % 7})},
                   replies=(*(call("get_status", arguments) for _ in range(40)), say(dice.choice(DONE))))  # fmt: skip
    wordings = ("order 4711", "order #4711", "the order 4711", "order no. 4711", "4711", "order number 4711")
    yield Scenario(family="loop", kind="in other words each time", truth=frozenset({"loop"}), tools={tool: returns(same)},
                   replies=(*(call(tool, {"query": words}) for words in wordings), say(dice.choice(DONE))))  # fmt: skip
    # Near misses.
    yield Scenario(family="loop", kind="polling that moves on", truth=frozenset(),
                   tools={"get_status": lambda given, count: json.dumps({"progress": 10 * count})},
                   replies=(*(call("get_status", arguments) for _ in range(11)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="loop", kind="polling until done", truth=frozenset(), took_s=240,
                   tools={"get_status": lambda given, count: '{"state":"pending"}' if count < 7 else '{"state":"finished"}'},
                   replies=(*(call("get_status", arguments) for _ in range(8)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="loop", kind="three times", truth=frozenset(), tools={tool: returns(same)},
                   replies=(*(call(tool, arguments) for _ in range(3)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="loop", kind="other arguments", truth=frozenset(), tools={tool: returns(same)},
                   replies=(*(call(tool, {**arguments, "page": n}) for n in range(12)), say(dice.choice(DONE))))  # fmt: skip
    tested: list[Reply] = []
    for n in range(7):
        tested += [call("edit_file", {"path": "app.py", "change": n}), call("run_tests", {})]
    yield Scenario(family="loop", kind="tests after each edit", truth=frozenset(), took_s=300,
                   tools={"edit_file": echoes(), "run_tests": returns("12 passed")},
                   replies=(*tested, say(dice.choice(DONE))))  # fmt: skip
    spread: list[Reply] = []
    for n in range(5):
        spread += [call("list_files", {}), *(call("read_file", {"path": f"{n}-{m}.py"}) for m in range(6))]
    yield Scenario(family="loop", kind="a look now and then", truth=frozenset(), took_s=500,
                   tools={"list_files": returns(["a.py", "b.py"]), "read_file": echoes()},
                   replies=(*spread, say(dice.choice(DONE))))  # fmt: skip


def ping_pong(dice: random.Random) -> Iterator[Scenario]:
    """A circle of several calls."""
    for period in (2, 3, 4):
        cycles = dice.randrange(4, 7)
        names = dice.sample(["get_order", "check_stock", "read_page", "search_web", "list_files"], period)
        turn = [(name, _arguments(dice)) for name in names]
        yield Scenario(family="ping_pong", kind=f"of {period}", truth=frozenset({"ping_pong"}),
                       tools={name: returns({"of": name}) for name in names},
                       replies=(*(call(name, shuffled(dice, arguments)) for _ in range(cycles) for name, arguments in turn),
                                say(dice.choice(DONE))))  # fmt: skip
    names = ["get_order", "check_stock"]
    turn = [(name, _arguments(dice)) for name in names]
    yield Scenario(family="ping_pong", kind="twice round", truth=frozenset(), tools={name: returns("x") for name in names},
                   replies=(*(call(name, arguments) for _ in range(2) for name, arguments in turn), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="ping_pong", kind="other arguments", truth=frozenset(), tools={name: echoes() for name in names},
                   replies=(*(call(name, {"n": n}) for n in range(6) for name in names), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="ping_pong", kind="wait and poll", truth=frozenset(), took_s=120,
                   tools={"wait": returns("waited"), "get_status": lambda given, count: json.dumps({"progress": 20 * count})},
                   replies=(*(call(name, {}) for _ in range(5) for name in ("wait", "get_status")), say(dice.choice(DONE))))  # fmt: skip


def no_answer(dice: random.Random) -> Iterator[Scenario]:
    """Many calls and no reply."""
    for kind, count, raises in (
        ("silent end", dice.randrange(7, 30), False),
        ("step limit", dice.randrange(8, 20), True),
    ):
        truth = {"no_answer"} | ({"error"} if raises else set())
        yield Scenario(family="no_answer", kind=kind, truth=frozenset(truth), raises=raises,
                       tools={"search_web": echoes(), "read_page": echoes()},
                       replies=tuple(call(dice.choice(["search_web", "read_page"]), {"n": n}) for n in range(count)))  # fmt: skip
    yield Scenario(family="no_answer", kind="words before each call", truth=frozenset({"no_answer"}),
                   tools={"search_web": echoes()},
                   replies=tuple(call("search_web", {"n": n}, text="I will look further.") for n in range(9)))  # fmt: skip
    yield Scenario(family="no_answer", kind="long, then answered", truth=frozenset(), tools={"search_web": echoes()},
                   replies=(*(call("search_web", {"n": n}) for n in range(dice.randrange(8, 30))), say(dice.choice(DONE))))  # fmt: skip
    delivering = dice.choice(
        ["send_email", "reply_to_customer", "submit_answer", "transfer_to_human_agents", "final_result"]
    )
    yield Scenario(family="no_answer", kind="answered by a tool", truth=frozenset(),
                   tools={"search_web": echoes(), delivering: returns("delivered")},
                   replies=(*(call("search_web", {"n": n}) for n in range(9)), call(delivering, {"text": dice.choice(DONE)})))  # fmt: skip
    yield Scenario(family="no_answer", kind="two calls", truth=frozenset(), tools={"save_note": echoes()},
                   replies=(call("save_note", {"n": 1}), call("save_note", {"n": 2})))  # fmt: skip


ANNOUNCED = (
    "I have what I need. I will now update the reservation.",
    "Let me check the inventory system.",
    "I'll look into the failing job and fix the configuration.",
    "Good, the file is there. Next, I'll edit the parser.",
    "I'm going to run the test suite.",
    "Now I will create the refund for you. Please hold on for a moment.",
    "The first source is thin. Let me search for a second one.",
    "I'll proceed to cancel the subscription.",
    "Understood. Let me pull up the order details first.",
    "I am checking the logs of the worker.",
    "Thanks! I'll go ahead and book the flight.",
    "One moment while I retrieve the document.",
    "The build is broken because of a missing import. I'll add it now.",
    "Let's start by reading the configuration file.",
    "Proceeding with the deployment.",
    "On it, fetching the figures.",
    "I need to verify two more numbers.",
    "I will transfer the amount to the other account.",
    "Next step: rewrite the query and run it again.",
    "Let me take a quick look at the dashboard…",
)
NOT_ANNOUNCED = (
    "I'll need your order number to continue.",
    "The order is on its way. Let me know if you want me to check anything else.",
    "If you confirm, I will cancel the booking.",
    "Would you like me to update the address?",
    "I have updated the address. I'll be here if you need anything.",
    "Once you send the receipt, I will create the refund.",
    "Let me explain: the fee is charged once a year.",
    "The agent will check the meter tomorrow.",
    "You will get a mail when the refund is processed.",
    "I looked at all three sources; none of them names a date.",
    "The script will now run every night at two.",
    "Please tell me which of the two flights I should book.",
    "I searched the web and read two pages. Prices fell by four per cent.",
    "To reset it, open the settings and press restart.",
    "I'd be happy to look up more details.",
    "Your new card will be sent within five days.",
    "I will not change the booking without your consent.",
    "Let me summarize: two orders are late, one is lost.",
    "Both tests pass now. I'll leave the refactoring to you.",
    "I checked the logs, let me know what you want to do next.",
)
CLAIMS = (
    "Your booking has been updated successfully.",
    "Done! The refund was issued.",
    "I have cancelled the order for you. Have a great day!",
    "All set: the file is saved and the page is live.",
    "The record was created and the customer has been notified.",
)
HONEST = (
    "Unfortunately the booking could not be updated: the system refused it.",
    "I was not able to issue the refund because the ledger is locked.",
    "The order could not be cancelled. I opened a ticket for the team instead.",
    "Saving failed with a permission error; nothing has been changed.",
)
WRITES = ("update_booking", "issue_refund", "cancel_order", "write_file", "create_record", "send_invoice")


def premature_finish(dice: random.Random) -> Iterator[Scenario]:
    """An end that is none."""
    truth = frozenset({"premature_finish"})
    reading = {"get_order": echoes()}
    for text in dice.sample(ANNOUNCED, 5):
        yield Scenario(family="premature_finish", kind="announced", truth=truth, tools=reading,
                       replies=(call("get_order", {"id": 1}), say(text)))  # fmt: skip
    for text in dice.sample(NOT_ANNOUNCED, 5):
        yield Scenario(family="premature_finish", kind="not announced", truth=frozenset(), tools=reading,
                       replies=(call("get_order", {"id": 1}), say(text)))  # fmt: skip
    write, failure = dice.choice(WRITES), dice.choice(SOFT)
    yield Scenario(family="premature_finish", kind="claimed after a soft failure", truth=truth | {"soft_error"},
                   tools={write: returns(failure)}, replies=(call(write, {"id": 7}), say(dice.choice(CLAIMS))))  # fmt: skip
    yield Scenario(family="premature_finish", kind="claimed after an exception", truth=truth | {"error"},
                   tools={write: raising("the ledger is locked", OSError), "get_order": echoes()},
                   replies=(call(write, {"id": 7}), call("get_order", {"id": 7}), say(dice.choice(CLAIMS))))  # fmt: skip
    yield Scenario(family="premature_finish", kind="done the second time", truth=frozenset({"soft_error"}),
                   tools={write: failing_first(1, failure, '{"state":"saved"}')},
                   replies=(call(write, {"id": 7}), call(write, {"id": 7}), say(dice.choice(CLAIMS))))  # fmt: skip
    yield Scenario(family="premature_finish", kind="admitted", truth=frozenset({"soft_error"}),
                   tools={write: returns(failure)}, replies=(call(write, {"id": 7}), say(dice.choice(HONEST))))  # fmt: skip
    yield Scenario(family="premature_finish", kind="only a look failed", truth=frozenset({"soft_error"}),
                   tools={"get_order": returns(failure), write: returns('{"state":"saved"}')},
                   replies=(call("get_order", {"id": 7}), call(write, {"id": 7}), say(dice.choice(CLAIMS))))  # fmt: skip
    plan = dice.choice(["TodoWrite", "write_todos", "update_plan"])
    words, item, open_state = (
        ("plan", "step", "in_progress") if plan == "update_plan" else ("todos", "content", "pending")
    )
    size = dice.choice([3, 4, 30])
    items = [f"step {n} of the migration of {dice.choice(TOPICS)}, with its tests" for n in range(size)]

    def planned(open_: int) -> dict[str, Any]:
        return {words: [{item: text, "status": "completed" if n < size - open_ else open_state} for n, text in enumerate(items)]}  # fmt: skip

    yield Scenario(family="premature_finish", kind="open plan", truth=truth, tools={plan: returns("noted"), "edit_file": echoes()},
                   replies=(call(plan, planned(size)), call("edit_file", {"n": 1}), call(plan, planned(dice.randrange(1, size))),
                            say("The migration is described in the changelog.")))  # fmt: skip
    yield Scenario(family="premature_finish", kind="finished plan", truth=frozenset(), tools={plan: returns("noted"), "edit_file": echoes()},
                   replies=(call(plan, planned(size)), call("edit_file", {"n": 1}), call(plan, planned(0)),
                            say("The migration is described in the changelog.")))  # fmt: skip
    yield Scenario(family="premature_finish", kind="open plan, asks", truth=frozenset(), tools={plan: returns("noted")},
                   replies=(call(plan, planned(size)), say("Shall I begin with the first step?")))  # fmt: skip


SOFT = (
    '{"error": "not enough seats on flight HAT290"}',
    '{"success": false, "message": "card declined"}',
    '{"status": "error", "message": "the record is locked"}',
    "Error: payment method not found",
    '{"isError": true, "content": [{"type": "text", "text": "no such table"}]}',
    "ValueError: unknown currency",
    '{"ok": false, "error": {"code": 409, "message": "conflict"}}',
    "Failed to write the file: disk is full",
    "Traceback (most recent call last):\n  File \"x.py\", line 3, in run\nKeyError: 'id'",
    "Error executing tool: connection refused",
    "HTTP 503: service unavailable",
    "Permission denied",
    '{"result": null, "errors": [{"message": "field does not exist"}]}',
)
SOFT_IN_WORDS = (
    "Unable to reach the order system at the moment.",
    "The operation could not be completed.",
    "Sorry, something went wrong on our side.",
)
NOT_SOFT = (
    ("search_web", '{"results": [{"title": "Error 404: what it means", "url": "https://example.com"}]}'),
    ("read_logs", "ERROR 2026-03-01 10:00:01 db: connection lost\nINFO 2026-03-01 10:00:02 db: connected"),
    ("read_page", "Errors happen. This page explains how to handle them."),
    ("validate", '{"errors": 0, "warnings": 2}'),
    ("get_order", '{"error": null, "data": {"id": 7, "state": "sent"}}'),
    ("run_tests", "5 passed, 0 failed"),
    ("get_status", '{"job": 12, "status": "failed", "reason": "out of memory"}'),
    ("grep", 'app.py:12: raise ValueError("no such user")'),
    ("list_orders", "[]"),
    ("check_policy", '{"allowed": false, "rule": "no refunds after 30 days"}'),
)


def soft_error(dice: random.Random) -> Iterator[Scenario]:
    """A failure on a span that says ok."""
    for failure in dice.sample(SOFT, 5):
        tool = _tool(dice)
        yield Scenario(family="soft_error", kind="failure", truth=frozenset({"soft_error"}), tools={tool: returns(failure)},
                       replies=(call(tool, _arguments(dice)), say("It did not work, sorry.")))  # fmt: skip
    yield Scenario(family="soft_error", kind="failure in plain words", truth=frozenset({"soft_error"}),
                   tools={"get_order": returns(dice.choice(SOFT_IN_WORDS))},
                   replies=(call("get_order", _arguments(dice)), say("It did not work, sorry.")))  # fmt: skip
    for tool, text in dice.sample(NOT_SOFT, 5):
        yield Scenario(family="soft_error", kind="mentions errors", truth=frozenset(), tools={tool: returns(text)},
                       replies=(call(tool, {"q": dice.choice(TOPICS)}), say(dice.choice(DONE))))  # fmt: skip


def error(dice: random.Random) -> Iterator[Scenario]:
    """A step that fails."""
    yield Scenario(family="error", kind="a tool raises", truth=frozenset({"error"}), tools={"get_order": raising("no such order")},
                   replies=(call("get_order", {"id": 3}), say("I could not find it.")))  # fmt: skip
    yield Scenario(family="error", kind="the provider fails", truth=frozenset({"error"}),
                   replies=(Reply(fault=Fault(status=500)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(
        family="error", kind="the run breaks", truth=frozenset({"error"}), replies=(Reply(fault=Fault(status=503)),)
    )


def retry_storm(dice: random.Random) -> Iterator[Scenario]:
    """The same failure at once, again and again."""
    times, arguments = dice.randrange(5, 12), _arguments(dice)
    yield Scenario(family="retry_storm", kind="raised", truth=frozenset({"retry_storm", "error"}), took_s=dice.randrange(3, 30),
                   tools={"save": raising("connection refused", OSError)},
                   replies=(*(call("save", shuffled(dice, arguments)) for _ in range(times)), say(dice.choice(HONEST))))  # fmt: skip
    yield Scenario(family="retry_storm", kind="soft", truth=frozenset({"retry_storm", "soft_error"}), took_s=dice.randrange(3, 30),
                   tools={"save": returns(dice.choice(SOFT[:6]))},
                   replies=(*(call("save", shuffled(dice, arguments)) for _ in range(times)), say(dice.choice(HONEST))))  # fmt: skip
    yield Scenario(family="retry_storm", kind="rate limit", truth=frozenset({"retry_storm", "error"}), took_s=dice.randrange(3, 30),
                   replies=(*(Reply(fault=Fault(status=429)) for _ in range(times)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="retry_storm", kind="twice, then well", truth=frozenset({"soft_error"}), took_s=10,
                   tools={"save": failing_first(2, dice.choice(SOFT[:6]), '{"state":"saved"}')},
                   replies=(*(call("save", arguments) for _ in range(3)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="retry_storm", kind="one rate limit", truth=frozenset({"error"}), took_s=10,
                   replies=(Reply(fault=Fault(status=429)), Reply(fault=Fault(status=429)), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="retry_storm", kind="other arguments", truth=frozenset({"soft_error"}), took_s=15,
                   tools={"save": returns(SOFT[0])},
                   replies=(*(call("save", {"flight": n}) for n in range(7)), say(dice.choice(HONEST))))  # fmt: skip


def truncated(dice: random.Random) -> Iterator[Scenario]:
    """An answer that was cut off."""
    long = "The history of this order begins in spring and has many parts. " * 20
    yield Scenario(family="truncated", kind="cut", truth=frozenset({"truncated"}), tokens_max=dice.randrange(5, 60),
                   tools={"get_order": echoes()}, replies=(call("get_order", {"id": 1}), say(long)))  # fmt: skip
    yield Scenario(family="truncated", kind="long enough", truth=frozenset(), tokens_max=2_000,
                   tools={"get_order": echoes()}, replies=(call("get_order", {"id": 1}), say(long)))  # fmt: skip
    yield Scenario(family="truncated", kind="ends in dots", truth=frozenset(), replies=(say("The rest is silence…"),))


def empty_output(dice: random.Random) -> Iterator[Scenario]:
    """An answer without words."""
    for text in ("", " \n"):
        yield Scenario(family="empty_output", kind="empty", truth=frozenset({"empty_output"}), tools={"get_order": echoes()},
                       replies=(call("get_order", {"id": 1}), say(text)))  # fmt: skip
    for text in ("👍", "ok", "42", "-"):
        yield Scenario(family="empty_output", kind="short", truth=frozenset(), tools={"get_order": echoes()},
                       replies=(call("get_order", {"id": 1}), say(text)))  # fmt: skip
    yield Scenario(family="empty_output", kind="content is not recorded", truth=frozenset(), shape="no content",
                   tools={"get_order": echoes()}, replies=(call("get_order", {"id": 1}), say(dice.choice(DONE))))  # fmt: skip


OVERFLOWS = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens. Please reduce the length of the messages.",
    "prompt is too long: 208310 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease input length or `max_tokens` and try again",
    "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    "Input is too long for requested model.",
    "Prompt contains 40213 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "too many tokens: total number of tokens in the prompt cannot exceed 128000",
    "the request exceeds the available context size, try increasing it",
)
NOT_OVERFLOWS = (
    "max_tokens is too large: 200000. This model supports at most 16384 completion tokens.",
    "The file name is too long.",
    "Invalid value for 'temperature': must be at most 2.",
    "Rate limit reached: 30000 tokens per min. Please try again in 2 s.",
)


def context_overflow(dice: random.Random) -> Iterator[Scenario]:
    """An input too long for the model."""
    for text in dice.sample(OVERFLOWS, 3):
        yield Scenario(family="context_overflow", kind="refused", truth=frozenset({"context_overflow", "error"}),
                       replies=(Reply(fault=Fault(status=400, message=text)),))  # fmt: skip
    for text in dice.sample(NOT_OVERFLOWS, 2):
        yield Scenario(family="context_overflow", kind="refused for something else", truth=frozenset({"error"}),
                       replies=(Reply(fault=Fault(status=400, message=text)),))  # fmt: skip
    for share, truth in ((0.97, {"context_overflow"}), (0.90, set[str]()), (0.5, set[str]())):
        yield Scenario(family="context_overflow", kind=f"{share:.0%} full", truth=frozenset(truth),
                       replies=(say(dice.choice(DONE), usage=Usage(input_tokens=int(128_000 * share) + dice.randrange(500), output_tokens=20)),))  # fmt: skip


def tool_not_found(dice: random.Random) -> Iterator[Scenario]:
    """A call of a tool that does not exist."""
    missing = dice.choice(["lookup_customer", "python", "browser.search", "refund_v2"])
    answers = (
        f"Unknown tool name: '{missing}'. Available tools: get_order",
        f"Error: {missing} is not a valid tool, try one of [get_order].",
        f"Tool {missing} not found in agent support",
        f'{{"error": "no such tool: {missing}"}}',
        f"Function {missing} does not exist",
    )
    soft = {1: {"soft_error"}, 3: {"soft_error"}}
    place = dice.randrange(len(answers))
    yield Scenario(family="tool_not_found", kind="the framework says so", truth=frozenset({"tool_not_found"} | soft.get(place, set())),
                   tools={"get_order": echoes()}, unknown_tool_text=answers[place],
                   replies=(call(missing, {"id": 1}), call("get_order", {"id": 1}), say(dice.choice(DONE))))  # fmt: skip
    yield Scenario(family="tool_not_found", kind="nobody says so", truth=frozenset({"tool_not_found"}),
                   tools={"get_order": echoes()}, unknown_tool_text="-",
                   replies=(call(missing, {"id": 1}), call("get_order", {"id": 1}), say(dice.choice(DONE))))  # fmt: skip
    for text in (
        "No tools found for size 10 mm",
        "function total() not found in report.py",
        "The tool shed is not found on this map",
    ):
        yield Scenario(family="tool_not_found", kind="speaks of tools", truth=frozenset(), tools={"search_catalogue": returns(text)},
                       replies=(call("search_catalogue", {"q": "tools"}), say(dice.choice(DONE))))  # fmt: skip


def recording(dice: random.Random) -> Iterator[Scenario]:
    """Spans that are lost, doubled, or from a clock that is wrong."""
    plain = {"tools": {"get_order": echoes()}, "replies": (call("get_order", {"id": 1}), say(dice.choice(DONE)))}
    yield Scenario(
        family="orphans", kind="a span in between is lost", truth=frozenset({"orphans"}), shape="gap", **plain
    )  # type: ignore[arg-type]
    yield Scenario(
        family="double_instrumented",
        kind="two instrumentations",
        truth=frozenset({"double_instrumented"}),
        shape="twice",
        **plain,
    )  # type: ignore[arg-type]
    yield Scenario(
        family="clock_skew", kind="ends before it starts", truth=frozenset({"clock_skew"}), shape="backwards", **plain
    )  # type: ignore[arg-type]
    yield Scenario(family="clock_skew", kind="in the future", truth=frozenset({"clock_skew"}), shape="future", **plain)  # type: ignore[arg-type]


def watching(dice: random.Random) -> Iterator[Scenario]:
    """Traces that are still open, and processes that are or are not alive."""
    tool = _tool(dice)
    plain = {"tools": {tool: echoes()}, "shape": "open"}
    working = (call(tool, {"n": 1}), call(tool, {"n": 2}))
    silent = dice.randrange(20, 200) * MINUTE_S
    yield Scenario(
        family="stalled", kind="in the middle", truth=frozenset({"stalled"}), replies=working, silent_s=silent, **plain
    )  # type: ignore[arg-type]
    yield Scenario(family="stalled", kind="alive but stuck", truth=frozenset({"stalled"}), replies=working, silent_s=silent,
                   beats=tuple(5.0 * n for n in range(int(silent // 5) + 1)), **plain)  # type: ignore[arg-type]  # fmt: skip
    yield Scenario(
        family="stalled",
        kind="quiet for a minute",
        truth=frozenset(),
        replies=working,
        silent_s=dice.randrange(20, 90),
        **plain,
    )  # type: ignore[arg-type]
    yield Scenario(family="stalled", kind="waits for a person", truth=frozenset(), replies=working, silent_s=silent, waits="human",
                   beats=tuple(5.0 * n for n in range(int(silent // 5) + 1)), **plain)  # type: ignore[arg-type]  # fmt: skip
    yield Scenario(family="stalled", kind="its root is never sent", truth=frozenset({"orphans"}), silent_s=silent,
                   replies=(*working, say(dice.choice(DONE))), **plain)  # type: ignore[arg-type]  # fmt: skip
    yield Scenario(
        family="stalled",
        kind="slow steps",
        truth=frozenset(),
        took_s=4_000,
        replies=working,
        silent_s=15 * MINUTE_S,
        **plain,
    )  # type: ignore[arg-type]
    yield Scenario(family="died", kind="heartbeats stop", truth=frozenset({"died"}), replies=working, silent_s=dice.randrange(60, 280),
                   beats=(0.0, 5.0, 10.0), **plain)  # type: ignore[arg-type]  # fmt: skip
    yield Scenario(
        family="died",
        kind="died long ago",
        truth=frozenset({"died"}),
        replies=working,
        silent_s=silent,
        beats=(0.0,),
        **plain,
    )  # type: ignore[arg-type]
    yield Scenario(family="died", kind="heartbeats go on", truth=frozenset(), replies=working, silent_s=100,
                   beats=tuple(5.0 * n for n in range(20)), **plain)  # type: ignore[arg-type]  # fmt: skip
    yield Scenario(
        family="died",
        kind="one is late",
        truth=frozenset(),
        replies=working,
        silent_s=22,
        beats=(0.0, 5.0, 10.0),
        **plain,
    )  # type: ignore[arg-type]
    yield Scenario(
        family="died",
        kind="said goodbye",
        truth=frozenset(),
        replies=working,
        silent_s=100,
        beats=(0.0, 5.0),
        goodbye=True,
        **plain,
    )  # type: ignore[arg-type]


FAMILIES = (healthy, loop, ping_pong, no_answer, premature_finish, soft_error, error, retry_storm, truncated, empty_output,
            context_overflow, tool_not_found, recording, watching)  # fmt: skip


def usual_traffic(seed: int, agents: int) -> tuple[list[Scenario], list[Scenario]]:
    """The everyday runs of some agents, and runs of the same agents that are or are not out of the ordinary."""
    dice = random.Random(f"{seed} usual")
    everyday: list[Scenario] = []
    judged: list[Scenario] = []

    def run(
        agent: str, family: str, kind: str, seconds: float, tokens: int, question: str, user: str, *truth: str
    ) -> Scenario:
        return Scenario(
            family=family, kind=kind, truth=frozenset(truth), agent=agent, took_s=seconds, question=question, user=user,
            replies=(say(dice.choice(DONE), usage=Usage(input_tokens=tokens, output_tokens=40)),), model="gpt-4o",
        )  # fmt: skip

    for number in range(agents):
        agent = f"steady-{number}"
        sigma = dice.choice([0.1, 0.3, 0.5])
        seconds, tokens = dice.uniform(4, 40), dice.randrange(8_000, 20_000)

        def one(family: str, kind: str, slower: float, dearer: float, *truth: str) -> Scenario:
            topic = f"Question {dice.randrange(10**9)} about {dice.choice(TOPICS)}"
            return run(agent, family, kind, seconds * slower, min(int(tokens * dearer), 115_000), topic, "", *truth)  # noqa: B023

        everyday += [
            one("everyday", "usual", dice.lognormvariate(0, sigma), dice.lognormvariate(0, sigma / 2))
            for _ in range(45)
        ]
        judged += [
            one("unexpected_latency", "far slower", dice.uniform(16, 40), 1, "unexpected_latency") for _ in range(2)
        ]
        judged += [one("unexpected_latency", "twice as slow", 2.0, 1), one("unexpected_latency", "faster", 0.2, 1)]
        judged += [one("unexpected_cost", "far dearer", 1, dice.uniform(5.5, 8), "unexpected_cost") for _ in range(2)]
        judged += [one("unexpected_cost", "twice as dear", 1, 2.0), one("unexpected_cost", "cheaper", 1, 0.1)]
        canned = f"Canary check {number}: is the order service healthy today?"
        everyday += [
            run(f"probed-{number}", "everyday", "probe", 5, 4_000, canned, "", "canned_traffic?") for _ in range(25)
        ]
        judged += [
            run(f"probed-{number}", "canned_traffic", "once more", 5, 4_000, canned, "", "canned_traffic")
            for _ in range(2)
        ]
        judged += [
            run(f"probed-{number}", "canned_traffic", "a person's question", 5, 4_000, f"Where is parcel {number}?", "")
        ]
        common = "How do I reset my password?"
        everyday += [run(f"asked-{number}", "everyday", "common", 5, 4_000, common, f"user-{n}") for n in range(25)]
        judged += [run(f"asked-{number}", "canned_traffic", "asked by many", 5, 4_000, common, "user-99")]
        everyday += [run(f"greeted-{number}", "everyday", "hello", 5, 4_000, "hello", "") for _ in range(25)]
        judged += [run(f"greeted-{number}", "canned_traffic", "a greeting", 5, 4_000, "hello", "")]
    return everyday, judged
