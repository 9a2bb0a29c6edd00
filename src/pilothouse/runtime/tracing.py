"""What the runtime does, noted on the span it happens in. Where nothing records it costs one look and does nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from pilothouse.records import names
from pilothouse.sdk import recorder as recorders

from .drift import Signal
from .finish_gate import GateVerdict
from .handles import Handle
from .plan import Plan, as_dict

_TEXT_CHARS_MAX: Final = 60_000
_ITEMS_MAX: Final = 100

Facts = Mapping[str, str | int | float | bool | list[str]]


def note(event: str, facts: Callable[[], Facts], content: Callable[[], Facts] | None = None) -> None:
    """Add a span event to the current span of the recorder; outside of all spans nothing is noted.

    ``facts`` are numbers, ids and kinds; ``content`` is what people and models wrote, left out where content stays in
    the process. Both are asked for only where something records. Nothing here ever raises.
    """
    recorder = recorders.current()
    if recorder is None:
        return
    try:
        span = recorder.span()
        if not span.is_recording() or getattr(span, "resource", None) is not recorder.provider.resource:
            # Another vendor's span is in other hands; ours around it is the one to write on.
            call = recorder.call()
            if call is None:
                return
            span = call.span
        told = dict(facts())
        if content is not None and recorder.settings.capture_content:
            told |= content()
        span.add_event(event, {key: _bounded(value) for key, value in told.items()})
    except Exception as error:
        from pilothouse.sdk.wrapping import trouble

        trouble("what the runtime did could not be noted", error)


def trace_id() -> str:
    """The trace that this happens in, 32 hex digits; empty outside of any."""
    return recorders.current_trace_id()


def plan_changed(key: str) -> Callable[[Plan, Plan], None]:
    """What tells of the changes of a plan: for :class:`.plan_tools.PlanTools`."""

    def changed(before: Plan, after: Plan) -> None:
        open_tasks = len(after.open_tasks)
        note(
            names.PLAN_EVENT,
            lambda: {
                names.PLAN_KEY: key,
                names.PLAN_VERSION: after.version,
                names.PLAN_OPEN: open_tasks,
                names.PLAN_DONE: len(after.tasks) - open_tasks,
                names.PLAN_CHANGE: change_text(before, after),
            },
            lambda: {names.PLAN_TASKS: json.dumps(as_dict(after)["tasks"], ensure_ascii=False)},
        )

    return changed


def change_text(before: Plan, after: Plan) -> str:
    """What is different between two versions of a plan, in a line of ids and states."""
    was = {task.id: task for task in before.tasks}
    said: list[str] = []
    for task in after.tasks:
        known = was.get(task.id)
        if known is None:
            said.append(f"{task.id} new {task.state}")
        elif known.state != task.state:
            said.append(f"{task.id} {known.state} -> {task.state}")
        elif known != task:
            said.append(f"{task.id} noted" if known.text == task.text else f"{task.id} reworded")
    there = {task.id for task in after.tasks}
    said += [f"{task.id} gone" for task in before.tasks if task.id not in there]
    return "; ".join(said)[:2_000] or "nothing"


def gate_asked(verdict: GateVerdict) -> None:
    """Tell what the finish gate said of an answer."""
    note(
        names.GATE_EVENT,
        lambda: {names.GATE_ACTION: verdict.action, names.GATE_OPEN: len(verdict.open_tasks)},
        lambda: {names.GATE_MESSAGE: verdict.message or "; ".join(verdict.questions)},
    )


def data_kept(handle: Handle, shown: int) -> None:
    """Tell of a value that is kept."""
    note(
        names.DATA_EVENT,
        lambda: {
            names.DATA_ID: handle.id,
            names.DATA_BYTES: handle.bytes,
            names.DATA_KIND: handle.kind,
            names.DATA_SHOWN: shown,
            names.DATA_LABEL: handle.label,
        },
    )


def drifted(signal: Signal) -> None:
    """Tell of a sign of drift."""
    note(
        names.DRIFT_EVENT,
        lambda: {names.DRIFT_KIND: signal.kind, names.DRIFT_TO: signal.to},
        lambda: {names.DRIFT_TEXT: signal.text},
    )


def _bounded(value: str | int | float | bool | list[str]) -> str | int | float | bool | list[str]:
    if isinstance(value, list):
        return [one[:_TEXT_CHARS_MAX] for one in value[:_ITEMS_MAX]]
    return value[:_TEXT_CHARS_MAX] if isinstance(value, str) else value
