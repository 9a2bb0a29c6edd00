"""``context``: what was in the context of each model call of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from .client import segment
from .help import command
from .root import Run
from .terminal import count, one_line, table

_LETTERS = {
    "system": "S",
    "tools": "T",
    "plan": "P",
    "question": "Q",
    "history": "H",
    "assistant": "A",
    "tool_output": "O",
    "media": "M",
    "other": "x",
    "unseen": "?",
}
_BAR = 30
_THREADS_SHOWN = 20
_LEGEND = "S system  T tool definitions  P plan  Q question  H history  A assistant  O tool output  M media  x other  ? unseen"


@command(
    "context",
    examples=(
        "pilothouse context last",
        "pilothouse context 4bf92f35 --step 14",
        "pilothouse context 4bf92f35 --after 200 --json",
    ),
    keys="data: threads[] calls[]: step tokens full parts new dropped question; with --step: detail.messages[]",
)
@click.argument("id")
@click.option("--step", default="", metavar="N", help="one model call: its window message by message")
@click.option("--after", default=0, metavar="N", help="only calls after this step")
@click.pass_obj
def context(run: Run, id: str, step: str, after: int) -> None:
    """What filled each model call's window, what fell out, when the question was last in view."""
    answer = run.client.get(f"/traces/{segment(id)}/context", {"step": step, "after_step": after or ""})
    settings = run.settings
    if settings.json and not step and not settings.fields and settings.out is None:
        answer = {**answer, "data": _brief(answer["data"])}
    run.output.envelope(answer, human=_step if step else _calls)


def _brief(data: dict[str, Any]) -> dict[str, Any]:
    """The same with each call in as few words as tell it: what is empty, false or said above is left out."""
    calls = [
        {
            name: value
            for name, value in {
                "step": call["step"],
                "thread": call["thread"],
                "tokens": call["tokens"],
                "estimated": call["tokens_are"] == "estimated",
                "full": None if call["full"] is None else round(call["full"], 4),
                "grew": call["grew"],
                "parts": {part["kind"]: part["tokens"] for part in call["parts"]},
                "new": [call["new_messages"], call["new_tokens"]],
                "dropped": [call["dropped_messages"], call["dropped_tokens"]] if call["dropped_messages"] else None,
                "compacted": call["compacted"],
                "question": call["question"],
                "question_lost": call["question_lost"],
                "wasted": call["wasted_tokens"],
            }.items()
            if name in ("step", "thread", "tokens", "parts") or value not in (None, "", False, 0)
        }
        for call in data["calls"]
    ]
    return {**data, "calls": calls, "parts_are": "tokens", "new_and_dropped_are": ["messages", "tokens"]}


def _calls(data: dict[str, Any]) -> Iterable[str]:
    yield from data["notes"]
    threads: list[dict[str, Any]] = data["threads"]
    yield from map(_thread, threads[:_THREADS_SHOWN])
    if len(threads) > _THREADS_SHOWN:
        yield f"and {len(threads) - _THREADS_SHOWN} more conversations"
    if not data["calls"]:
        return
    yield ""
    yield _LEGEND
    peak = max(call["tokens"] for call in data["calls"]) or 1
    rows = [
        (
            f"{call['step']:03d}",
            call["thread"],
            _bar(call, peak),
            count(call["tokens"]) + ("~" if call["tokens_are"] == "estimated" else ""),
            _share(call["full"]),
            f"+{call['new_messages']} {count(call['new_tokens'])}",
            f"-{call['dropped_messages']} {count(call['dropped_tokens'])}" if call["dropped_messages"] else "",
            _question(call),
        )
        for call in data["calls"]
    ]
    heads = ("step", "thread", "window", "tokens", "full", "new", "dropped", "question")
    yield from table(heads, rows, right="step thread tokens full new dropped")


def _thread(thread: Mapping[str, Any]) -> str:
    words = [f"thread {thread['number']}: {thread['agent'] or 'no agent named'}, {len(thread['steps'])} calls"]
    words.append(f"peak {count(thread['peak_tokens'])} tokens{_of(thread['peak_full'])}")
    if thread["compactions"]:
        words.append(f"compacted {thread['compactions']} times")
    if thread["wasted_tokens"]:
        words.append(f"{count(thread['wasted_tokens'])} tokens of repeated tool output")
    if thread["question_gone_step"] is not None:
        words.append(f"QUESTION OUT OF VIEW FROM STEP {thread['question_gone_step']:03d} ON")
    return ", ".join(words)


def _of(full: float | None) -> str:
    return "" if full is None else f" ({_share(full)} of the window)"


def _share(full: float | None) -> str:
    return "" if full is None else f"{full:.1%}" if full < 0.1 else f"{full:.0%}"


def _question(call: Mapping[str, Any]) -> str:
    words = {"in_view": "in view", "quoted": "quoted", "gone": "gone", "none": "none asked", "unknown": "?"}
    text = words.get(call["question"], str(call["question"]))
    if call["question_lost"]:
        text = "LOST HERE"
    if call["compacted"]:
        text += ", compacted"
    if call["server_state"]:
        text += ", state at the provider"
    return text


def _bar(call: Mapping[str, Any], peak: int) -> str:
    """One letter for each thirtieth of the largest window; every part that is there has at least one."""
    width = max(1, round(_BAR * call["tokens"] / peak))
    return "".join(_LETTERS.get(part["kind"], "x") * max(1, round(width * part["share"])) for part in call["parts"])


def _step(data: dict[str, Any]) -> Iterable[str]:
    (call,) = data["calls"]
    detail = data["detail"]
    window = f" of {call['window']:,}{_of(call['full'])}" if call["window"] else ""
    yield f"step {call['step']:03d}  {call['agent']}  {call['model']}  {call['tokens']:,} tokens{window}, {call['tokens_are']}"
    grew = "" if call["grew"] is None else f"{call['grew']:+,} tokens since step {call['previous_step']:03d}; "
    yield f"{grew}question: {_question(call)}"
    yield from call["notes"]
    yield ""
    yield "shares are estimated from the lengths of texts; together they are the total"
    heads = ("part", "tokens", "share", "messages", "chars")
    rows = (
        (p["kind"], f"{p['tokens']:,}", _share(p["share"]), p["messages"] or "", p["chars"] or "")
        for p in call["parts"]
    )
    yield from table(heads, rows, right="tokens share messages chars")
    for repeat in call["repeats"]:
        yield f"repeated: {repeat['tool'] or 'a tool output'} ×{repeat['times']}, {repeat['wasted_tokens']:,} tokens wasted: {one_line(repeat['head'], 60)}"
    if call["summary"]:
        yield f"summary in place of what fell out: {one_line(call['summary']['head'], 90)}"
    if detail["dropped"]:
        yield ""
        yield f"fell out since step {call['previous_step']:03d}"
        lost = ((m["fate"], m["role"], m["kind"], m["tokens"] - m["kept_tokens"], m["head"]) for m in detail["dropped"])
        yield from table(("fate", "role", "kind", "tokens", "begins"), lost, right="tokens")
    yield ""
    shown = (("+" if m["new"] else "", m["role"], m["kind"], m["tokens"], m["head"]) for m in detail["messages"])
    yield from table(("new", "role", "kind", "tokens", "begins"), shown, right="tokens")
    if detail["cut"]:
        yield f"and {detail['cut']:,} earlier messages"
    if detail["tools"]:
        yield f"tools offered: {', '.join(detail['tools'])}"
