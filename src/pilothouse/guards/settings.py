"""The section ``guards`` of the policy file, read into what the gates run by.

Everything that is wrong is an error with its place, the value and what would be right: a rule that is misspelt must
not be a rule that does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from pilothouse.records import BadRequest

from .containment import Cap, Switches
from .endpoint import FORMATS, EndpointCheck
from .grounding import GroundingCheck
from .injection import INJECTION
from .language import LANGUAGES, LanguageCheck, need_classifier
from .links import BeaconCheck, LinksCheck
from .pattern_checks import InjectionCheck, PatternCheck
from .patterns import PATTERNS, Pattern
from .people import LABELS, PEOPLE, NamesCheck, load_pipeline
from .shape import LengthCheck, SchemaCheck, schema_validator
from .verdict import ACTIONS, GATES, Action, Gate

ON_FAILURE = ("block", "queue", "degrade")
PERIODS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SECTION = "guards"

KINDS: Mapping[str, str] = {
    "injection": "attempts to take over the model, plain or in disguise",
    "secrets": "keys, tokens, passwords",
    "personal": "personal data by its pattern and check digits",
    "beacons": "images whose address carries data out",
    "terms": "words and topics of your own",
    "links": "addresses whose host is not on a list",
    "names": "names of people, by a recogniser of your own",
    "length": "texts that are too long",
    "language": "texts in other languages than those the agent is for",
    "schema": "answers that are not the JSON they should be",
    "grounding": "claims that no source supports",
    "endpoint": "what a safety model or a small model says",
}
"""Each kind of check, in a few words."""

_DEFAULT_ACTION: Mapping[str, Action] = {
    "secrets": "rewrite",
    "personal": "rewrite",
    "names": "rewrite",
    "grounding": "flag",
    "beacons": "rewrite",
}

DEFAULTS: Mapping[str, Any] = {
    "input": ["injection", {"check": "secrets", "action": "flag"}],
    "output": ["secrets", "beacons"],
    "tool_arguments": [{"check": "secrets", "action": "flag"}],
    "tool_results": ["injection", "secrets"],
}
"""The gates of who says nothing about them. A gate that is given replaces its default; an empty list switches it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One check at one gate, with what happens when it is down."""

    check: Any
    """A check: it has a name, ``slow``, and ``run(subject)``, which gives findings or raises."""
    kind: str
    deadline_s: float
    on_failure: str = "block"
    instead: str = ""
    """Of ``degrade``: the check of the same gate that must have been passed in its place."""
    queue_s: float = 10.0
    """Of ``queue``: how long the text is held and the check tried again, before it is blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """The whole section."""

    gates: Mapping[Gate, Sequence[Planned]]
    rules: Mapping[Gate, Sequence[Pattern]]
    """The rules that a gate's checks need: they are searched for together."""
    caps: tuple[Cap, ...] = ()
    switches: Switches = field(default_factory=Switches)
    chars_max: int = 1_000_000
    """Longer texts are blocked without being read."""


def read_guards(section: Mapping[str, Any]) -> GuardSettings:
    """Read the section; an empty one gives the defaults.

    Raises:
        BadRequest: something in it is not known or not of its type.
    """
    _known(section, {*GATES, "checks", "caps", "switches", "chars_max"}, _SECTION)
    named = _table(section.get("checks", {}), f"{_SECTION}.checks")
    for name, options in named.items():
        _table(options, f"{_SECTION}.checks.{name}")
    gates: dict[Gate, Sequence[Planned]] = {}
    rules: dict[Gate, Sequence[Pattern]] = {}
    for gate in GATES:
        place = f"{_SECTION}.{gate}"
        given = section.get(gate, DEFAULTS[gate])
        if not isinstance(given, list):
            raise BadRequest(f"{place} is a list of checks", got=repr(given)[:100], allowed=[*KINDS, *named])
        planned: list[Planned] = []
        own: list[Pattern] = []
        for number, entry in enumerate(cast("list[Any]", given)):
            one, more = _entry(entry, named, f"{place}[{number}]")
            planned.append(one)
            own += more
        _unique([one.check.name for one in planned], place)
        _stand_ins(planned, place)
        gates[gate] = planned
        groups = {one.check.group for one in planned if isinstance(one.check, PatternCheck)}
        groups |= {"injection" for one in planned if isinstance(one.check, InjectionCheck)}
        rules[gate] = [rule for rule in (*PATTERNS, *INJECTION) if rule.group in groups] + own
    return GuardSettings(
        gates=gates,
        rules=rules,
        caps=_caps(section.get("caps", [])),
        switches=_switches(_table(section.get("switches", {}), f"{_SECTION}.switches")),
        chars_max=_whole(section.get("chars_max", 1_000_000), f"{_SECTION}.chars_max"),
    )


def _entry(entry: Any, named: Mapping[str, Any], place: str) -> tuple[Planned, list[Pattern]]:
    own: Mapping[str, Any] = {"check": entry} if isinstance(entry, str) else _table(entry, place)
    name = own.get("check")
    if not isinstance(name, str) or (name not in KINDS and name not in named):
        raise BadRequest(f"{place} names no check that is known", got=repr(name)[:100], allowed=[*KINDS, *named])
    options = {**named.get(name, {}), **{key: value for key, value in own.items() if key != "check"}}
    kind = options.pop("kind", name)
    if kind not in KINDS:
        raise BadRequest(f"{place}: there is no such kind of check", got=repr(kind)[:100], allowed=list(KINDS))
    where = f"{_SECTION}.checks.{name}" if name in named else place
    action = options.pop("action", _DEFAULT_ACTION.get(kind, "block"))
    if action not in ACTIONS or action == "allow":
        raise BadRequest(f"{where}.action is none", got=repr(action)[:100], allowed=list(ACTIONS[1:]))
    on_failure = options.pop("on_failure", "block")
    if on_failure not in ON_FAILURE:
        raise BadRequest(f"{where}.on_failure is none", got=repr(on_failure)[:100], allowed=list(ON_FAILURE))
    instead = options.pop("instead", "")
    if (on_failure == "degrade") != bool(instead):
        raise BadRequest(
            f"{where}: on_failure: degrade and instead: go together",
            got=repr(instead or on_failure),
            fix="name the check of the same gate that decides in its place",
        )
    deadline_ms = _whole(options.pop("deadline_ms", 2_000 if kind == "endpoint" else 500), f"{where}.deadline_ms")
    queue_s = _whole(options.pop("queue_s", 10), f"{where}.queue_s")
    check, rules = _check(kind, name, action, options, where, deadline_ms / 1_000)
    planned = Planned(
        check=check,
        kind=kind,
        deadline_s=deadline_ms / 1_000,
        on_failure=on_failure,
        instead=str(instead),
        queue_s=float(queue_s),
    )
    return planned, rules


def _check(
    kind: str, name: str, action: Action, options: Mapping[str, Any], where: str, deadline_s: float
) -> tuple[Any, list[Pattern]]:
    if kind == "injection":
        _known(options, {"rules", "quoted"}, where)
        quoted = options.get("quoted", "flag")
        if quoted not in ACTIONS:
            raise BadRequest(f"{where}.quoted is no action", got=repr(quoted)[:100], allowed=list(ACTIONS))
        return InjectionCheck(name=name, action=action, only=_only(options, kind, where), quoted=quoted), []
    if kind in ("secrets", "personal"):
        _known(options, {"rules"}, where)
        message = "a secret" if kind == "secrets" else "personal data"
        return PatternCheck(name=name, group=kind, action=action, only=_only(options, kind, where), message=message), []
    if kind == "terms":
        return _terms(name, action, options, where)
    if kind == "beacons":
        _known(options, set(), where)
        return BeaconCheck(name=name, action=action), []
    if kind == "links":
        _known(options, {"allow", "schemes"}, where)
        allow = tuple(host.lower().lstrip("*.") for host in _texts(options.get("allow"), f"{where}.allow"))
        schemes = _texts(options.get("schemes", ["https", "http", "mailto"]), f"{where}.schemes")
        return LinksCheck(name=name, action=action, allow=allow, schemes=schemes), []
    if kind == "length":
        _known(options, {"chars_max"}, where)
        return LengthCheck(
            name=name, action=action, chars_max=_whole(options.get("chars_max", 20_000), f"{where}.chars_max")
        ), []
    if kind == "language":
        return _language(name, action, options, where), []
    if kind == "names":
        _known(options, {"model", "labels"}, where)
        model = options.get("model")
        if not isinstance(model, str) or not model:
            raise BadRequest(
                f"{where}.model names a pipeline of spaCy", got=repr(model)[:100], fix="e.g. en_core_web_sm"
            )
        labels = _texts(options.get("labels", list(PEOPLE)), f"{where}.labels")
        pipeline = load_pipeline(model, f"{where}.model")
        _among(labels, [*LABELS, *map(str, pipeline.pipe_labels.get("ner", ()))], f"{where}.labels")
        return NamesCheck(name=name, action=action, model=model, labels=labels, pipeline=pipeline), []
    if kind == "schema":
        _known(options, {"schema", "repair"}, where)
        schema = _table(options.get("schema"), f"{where}.schema")
        validator = schema_validator(schema, f"{where}.schema")
        return SchemaCheck(
            name=name, action=action, schema=schema, repair=options.get("repair", True) is True, validator=validator
        ), []
    if kind == "grounding":
        _known(options, {"share_min"}, where)
        share = options.get("share_min", 0.6)
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
            raise BadRequest(f"{where}.share_min is a share", got=repr(share)[:100], allowed="above 0, at most 1")
        return GroundingCheck(name=name, action=action, share_min=float(share)), []
    return _endpoint(name, action, options, where, deadline_s), []


def _language(name: str, action: Action, options: Mapping[str, Any], where: str) -> LanguageCheck:
    _known(options, {"allow", "unsure", "letters_min"}, where)
    allow = _texts(options.get("allow"), f"{where}.allow")
    _among(allow, LANGUAGES, f"{where}.allow")
    unsure = options.get("unsure", "allow")
    if unsure not in ACTIONS:
        raise BadRequest(f"{where}.unsure is no action", got=repr(unsure)[:100], allowed=list(ACTIONS))
    if not allow:
        raise BadRequest(f"{where}.allow names no language", got="[]", allowed=LANGUAGES)
    need_classifier(where)
    letters_min = _whole(options.get("letters_min", 20), f"{where}.letters_min")
    return LanguageCheck(name=name, action=action, allow=allow, unsure=unsure, letters_min=letters_min)


def _terms(name: str, action: Action, options: Mapping[str, Any], where: str) -> tuple[PatternCheck, list[Pattern]]:
    _known(options, {"topics", "message"}, where)
    topics = _table(options.get("topics"), f"{where}.topics")
    group = f"terms {name}"
    rules = [
        Pattern(name=f"{name}: {topic}", group=group, expression=expression)
        for topic, expressions in topics.items()
        for expression in _texts(expressions, f"{where}.topics.{topic}")
    ]
    message = options.get("message", "a topic that is not for this agent")
    return PatternCheck(name=name, group=group, action=action, message=str(message)), rules


def _endpoint(name: str, action: Action, options: Mapping[str, Any], where: str, deadline_s: float) -> EndpointCheck:
    _known(options, {"url", "model", "format", "question", "key_variable"}, where)
    url = options.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise BadRequest(
            f"{where}.url is the address of an endpoint", got=repr(url)[:100], allowed="http://… or https://…"
        )
    format = options.get("format", "llamaguard")
    if format not in FORMATS:
        raise BadRequest(f"{where}.format is none", got=repr(format)[:100], allowed=list(FORMATS))
    question = options.get("question", "")
    if (format == "yes_no") != bool(question):
        raise BadRequest(f"{where}: format: yes_no and question: go together", got=repr(question or format)[:100])
    return EndpointCheck(
        name=name,
        action=action,
        url=url,
        model=str(options.get("model", "")),
        format=format,
        question=str(question),
        key_variable=str(options.get("key_variable", "")),
        timeout_s=deadline_s,
    )


def _only(options: Mapping[str, Any], kind: str, where: str) -> frozenset[str] | None:
    if "rules" not in options:
        return None
    known = [rule.name for rule in (*PATTERNS, *INJECTION) if rule.group == kind]
    wanted = _texts(options["rules"], f"{where}.rules")
    for rule in wanted:
        if rule not in known:
            raise BadRequest(f"{where}.rules: {kind} has no such rule", got=rule, allowed=known)
    return frozenset(wanted)


def _caps(value: Any) -> tuple[Cap, ...]:
    place = f"{_SECTION}.caps"
    if not isinstance(value, list):
        raise BadRequest(f"{place} is a list", got=repr(value)[:100])
    caps: list[Cap] = []
    for number, entry in enumerate(cast("list[Any]", value)):
        at = f"{place}[{number}]"
        table = _table(entry, at)
        _known(table, {"tool", "max", "period", "per", "count"}, at)
        tool, per = table.get("tool"), table.get("per", "agent")
        if not isinstance(tool, str) or not tool:
            raise BadRequest(f"{at}.tool is the name of a tool, or *", got=repr(tool)[:100])
        if per not in ("agent", "user", "session", "all"):
            raise BadRequest(f"{at}.per is none", got=repr(per)[:100], allowed=["agent", "user", "session", "all"])
        caps.append(
            Cap(
                tool=tool,
                max=_whole(table.get("max"), f"{at}.max", least=0),
                period_s=_period(table.get("period", "1h"), f"{at}.period"),
                per=per,
                count=str(table.get("count", "")),
            )
        )
    return tuple(caps)


def _switches(table: Mapping[str, Any]) -> Switches:
    place = f"{_SECTION}.switches"
    _known(table, {"agents", "tools", "everything"}, place)
    everything = table.get("everything", False)
    if not isinstance(everything, bool):
        raise BadRequest(f"{place}.everything is true or false", got=repr(everything)[:100])
    return Switches(
        agents=frozenset(_texts(table.get("agents", []), f"{place}.agents")),
        tools=frozenset(_texts(table.get("tools", []), f"{place}.tools")),
        everything=everything,
    )


def _stand_ins(planned: Sequence[Planned], place: str) -> None:
    """Who decides in another's place must be no model itself: two that are down decide nothing."""
    names = [one.check.name for one in planned if not one.check.slow]
    for one in planned:
        if one.instead and one.instead not in names:
            raise BadRequest(
                f"{place}: {one.check.name} names a check in its place that is not there or is a model too",
                got=one.instead,
                allowed=names,
            )


def _unique(names: Sequence[str], place: str) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadRequest(
            f"{place} has a check twice", got=twice[0], fix=f"give it another name under {_SECTION}.checks"
        )


def _period(value: Any, place: str) -> int:
    text = str(value)
    if text[-1:] in PERIODS and text[:-1].isdecimal() and 0 < int(text[:-1]) <= 1_000_000:
        return int(text[:-1]) * PERIODS[text[-1]]
    raise BadRequest(f"{place} is a length of time", got=repr(value)[:100], allowed="e.g. 30s, 10m, 1h, 1d")


def _whole(value: Any, place: str, *, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadRequest(f"{place} is a whole number of at least {least}", got=repr(value)[:100])
    return value


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in cast("list[Any]", value)):
        raise BadRequest(f"{place} is a list of texts", got=repr(cast("object", value))[:100])
    return tuple(cast("list[str]", value))


def _among(given: Sequence[str], known: Sequence[str], place: str) -> None:
    for one in given:
        if one not in known:
            raise BadRequest(f"{place} has one that is not known", got=one, allowed=list(known))


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{place} is a mapping of names to values", got=repr(value)[:100])
    return cast("Mapping[str, Any]", value)


def _known(table: Mapping[str, Any], names: set[str], place: str) -> None:
    unknown = sorted(set(map(str, table)) - names)
    if unknown:
        raise BadRequest(f"{place} has no such setting", got=unknown[0], allowed=sorted(names))
