"""A case from a recording: what was done is what is checked, or, where it was wrong, what must not be done again.

The case holds all that it takes to replay it: what the agent was given, what its tools answered, what it was made with.
Nothing is fetched and nothing is written here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

from pilothouse.records import BadRequest, canonical_json

from .case import Call
from .checks import read_check, run_check
from .conversation import Turn, turns
from .observed import Observed
from .plain import list_of, mapping_of
from .quantities import quantity
from .recording import Recording, calls_in, written

Verdict = Literal["good", "bad"]
CALLS_CHECKED_MAX: Final = 40
"""Calls of a session that are checked with their arguments; their order is checked for all of them."""
NAMES_MAX: Final = 1_000
_FACTS_MAX: Final = 3
_SAID_CHARS: Final = 200
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_#\-]{2,40}")
_NUMBER = re.compile(r"(?:[$€£]\s?)?\d(?:[\d,.]*\d)?(?:\s?%)?")


def capture(
    recording: Recording,
    *,
    id: str,
    captured: str,
    verdict: Verdict = "good",
    expect: Sequence[Mapping[str, Any]] = (),
    why: str = "",
) -> dict[str, Any]:
    """A case as plain data, for :meth:`~pilothouse.evals.suite.Suite.add`.

    ``good``: what was done, and ``expect``. ``bad``: ``expect``, and for a decision that the same is not done again.
    ``captured``: when, ISO 8601.

    Raises:
        BadRequest: there is nothing to give an agent; or the checks do not tell what was done from what is wanted.
    """
    given = _input(recording)
    did = recording.did()
    checks = [dict(one) for one in expect]
    if verdict == "good":
        checks += [one for one in _of_what_was_done(recording, did) if one not in checks]
        _must_hold(checks, did)
    else:
        checks += _not_again(recording, did, expect)
        _must_fail(checks, did)
    calls = _calls(recording, [] if verdict == "good" else expect)
    about = recording.about
    where = f"step {recording.step} of " if recording.step is not None else ""
    data: dict[str, Any] = {"id": id, "input": given}
    if calls:
        data["stubs"] = {"calls": calls}
    data["checks"] = checks
    metadata: dict[str, Any] = {
        "why": why
        or f"{'what was done right' if verdict == 'good' else 'what went wrong'} in {where}a recorded session",
        "tags": ["golden" if verdict == "good" else "failure"],
    }
    if about.get("session"):
        metadata["cluster"] = str(about["session"])
    provenance = {name: value for name, value in about.items() if value not in (None, "", (), [])}
    metadata["provenance"] = {**provenance, "captured": captured, "verdict": verdict, "did": _did(did)}
    data["metadata"] = metadata
    settings = {name: value for name, value in recording.settings.items() if value not in (None, "")}
    if recording.step is not None:
        # Whatever it would do after the decision is of no interest, and nothing was recorded for it.
        settings |= {"decision_only": True, "decision_calls": max(1, len(recording.wishes))}
    if settings:
        data["settings"] = settings
    return data


# -- what it is given ------------------------------------------------------------------------------------------------


def _input(recording: Recording) -> Any:
    given, later = turns(recording.given), turns(recording.later)
    if not given:
        if recording.data is None:
            raise BadRequest(
                "the recording has no messages and no data: there is nothing to give an agent",
                got=recording.about.get("trace"),
                fix="record with content (PILOTHOUSE_CAPTURE_CONTENT=true), or choose another trace",
            )
        return {"data": recording.data}
    if recording.step is None and _users(later):
        # A whole session: every user says again what he said, and the agent of today answers.
        return {"turns": [turn.text for turn in [*_users(given), *_users(later)]]}
    return {"messages": written(given)}


def _users(found: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in found if turn.role == "user" and turn.text.strip()]


def _calls(recording: Recording, expect: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    calls = list(recording.calls)
    if recording.step is None and _users(turns(recording.later)):
        # It begins with the first turn again, so that the calls before are made again too.
        calls = [*calls_in(recording.given), *calls]
    known = {one.name for one in calls}
    for check in expect:
        name = check.get("tool")
        if isinstance(name, str) and name not in known:
            # Nobody knows what it would have answered; it must not be a call that nothing answers for.
            calls.append(Call(name=name))
    return [_call_data(one) for one in calls]


def _call_data(one: Call) -> dict[str, Any]:
    data: dict[str, Any] = {"name": one.name}
    if one.arguments is not None and not _has_operators(one.arguments):
        data["arguments"] = one.arguments
    return data | ({"error": one.error} if one.error else {"result": one.result})


# -- what is checked -------------------------------------------------------------------------------------------------


def _of_what_was_done(recording: Recording, did: Observed) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = []
    if not did.tools:
        checks.append({"no_tool": "*"})
    elif recording.step is None:
        checks.append({"tools": [one.name for one in did.tools][:NAMES_MAX]})
    for one in did.tools:
        check = _tool_check("tool", one.name, one.arguments)
        if check not in checks and len(checks) <= CALLS_CHECKED_MAX:
            checks.append(check)
    return [*checks, *_facts(recording, did)]


def _tool_check(kind: str, name: str, arguments: Any) -> dict[str, Any]:
    check: dict[str, Any] = {kind: name}
    if mapping_of(arguments) and not _has_operators(arguments):
        check["arguments"] = arguments
    return check


def _facts(recording: Recording, did: Observed) -> list[dict[str, Any]]:
    """Numbers and names of the answer that stand in a tool's result and that the user did not say: they must come again."""
    if not did.text:
        return []
    told = [_text(one.result) for one in recording.calls]
    told += [_text(one.content) for turn in turns([*recording.given, *recording.later]) for one in turn.results]
    known = "\n".join(told)
    asked = "\n".join(turn.text for turn in turns([*recording.given, *recording.later]) if turn.role == "user")
    known_tokens, asked_tokens = set(_TOKEN.findall(known)), set(_TOKEN.findall(asked))
    names = [
        token
        for token in dict.fromkeys(_TOKEN.findall(did.text))
        if token in known_tokens and token not in asked_tokens and _is_name(token)
    ]
    known_numbers, asked_numbers = _numbers(known), _numbers(asked)
    numbers = [
        said
        for said, number in _numbers(did.text).items()
        if number in known_numbers.values() and number not in asked_numbers.values() and abs(number) >= 10
        and not any(said in name for name in names)
    ]  # fmt: skip
    found: list[dict[str, Any]] = [{"contains": names[:_FACTS_MAX]}] if names else []
    found += [{"number": said} for said in numbers[:_FACTS_MAX]]
    return [one for one in found if _holds(one, did)]


def _is_name(token: str) -> bool:
    return len(token) >= 4 and any(char.isdigit() for char in token) and any(char.isalpha() for char in token)


def _numbers(text: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for said in _NUMBER.findall(text):
        value = quantity(said)
        if value is not None:
            found[said] = value.number
    return found


def _not_again(recording: Recording, did: Observed, expect: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if recording.step is None:
        # Which of many steps was the wrong one is not known.
        return []
    wanted = [read_check(one, "expect") for one in expect if "tool" in one]
    checks: list[dict[str, Any]] = []
    for one in did.tools:
        alone = Observed(tools=(one,))
        if any(run_check(check, alone).outcome == "pass" for check in wanted):
            continue
        # Without arguments it would forbid the tool as such, which may be the right one.
        check = _tool_check("no_tool", one.name, one.arguments)
        if check not in checks and ("arguments" in check or not any(row.wanted == one.name for row in wanted)):
            checks.append(check)
    if not did.tools and did.text and not any("tool" in one for one in expect):
        checks.append({"excludes": _sentence(did.text)})
    return checks


def _sentence(text: str) -> str:
    """The longest sentence that is short enough to be said again word for word."""
    parts = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
    return max(parts, key=lambda part: (len(part) <= _SAID_CHARS, len(part)), default=text)[:_SAID_CHARS]


def _must_hold(checks: Sequence[Mapping[str, Any]], did: Observed) -> None:
    for number, one in enumerate(checks):
        found = run_check(read_check(one, f"checks[{number}]"), did)
        if found.outcome == "fail":
            raise BadRequest(
                f"what was done does not pass: {found.why}", got=found.name, fix="leave it out, or use --bad"
            )


def _must_fail(checks: Sequence[Mapping[str, Any]], did: Observed) -> None:
    if not checks:
        raise BadRequest(
            "what should have been done instead?", got="no expectation", fix="--expect 'tool refund amount=5'"
        )
    results = [run_check(read_check(one, f"checks[{number}]"), did) for number, one in enumerate(checks)]
    if all(one.outcome == "pass" for one in results):
        raise BadRequest(
            "what was done is what is expected: the case would not be red",
            got=", ".join(one.name for one in results)[:300],
            fix="say what should have been done instead, or use --good",
        )


def _holds(check: Mapping[str, Any], did: Observed) -> bool:
    return run_check(read_check(check, "facts"), did).outcome == "pass"


def _did(did: Observed) -> str:
    """What was done, in a line: for a reader of the case."""
    calls = [f"{one.name}({canonical_json(one.arguments)[:120]})" for one in did.tools[:5]]
    more = f" and {len(did.tools) - 5} calls more" if len(did.tools) > 5 else ""
    said = " ".join(did.text.split())[:_SAID_CHARS]
    return "; ".join(filter(None, [*calls, said]))[:800] + more


def _has_operators(value: Any) -> bool:
    """Whether data would be read as asking for something: a key that begins with ``$``."""
    row = mapping_of(value)
    if row is not None:
        return any(key.startswith("$") for key in row) or any(_has_operators(one) for one in row.values())
    return any(_has_operators(one) for one in list_of(value) or [])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else canonical_json(value)
