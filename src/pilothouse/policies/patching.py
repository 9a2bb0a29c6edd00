"""Writing a rule into the text of a policy: everything else stays as it is, comments and all.

The places come from the YAML's own nodes; afterwards the text is read again and must say exactly what was meant, so a
layout that is not foreseen is an error, never another policy.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.guards import GUARD_DEFAULTS, Gate
from pilothouse.policy import plain
from pilothouse.records import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is to be written: a check with the gate at which it stands, or a cap."""

    name: str = ""
    gate: Gate = "input"
    check: Mapping[str, Any] | None = None
    cap: Mapping[str, Any] | None = None

    @property
    def yaml(self) -> str:
        """The rule as a patch of ``guards:``, for people."""
        if self.cap is not None:
            return f"guards:\n  caps:\n    - {_flow(self.cap)}\n"
        return f"guards:\n  {self.gate}:\n    - {self.name}\n  checks:\n    {self.name}: {_flow(self.check)}\n"


def patched(text: str, rule: Rule) -> str:
    """The text with the rule in it.

    Raises:
        BadRequest: the text is laid out in a way that cannot be written into.
    """
    before = plain(text)
    meant = _meant(before, rule)
    guards = before.get("guards")
    if not isinstance(guards, dict) or not guards:
        made = _without_guards(text) + _whole(meant["guards"])
    elif rule.cap is not None:
        made = _added(text, ("guards", "caps"), _flow(rule.cap), [rule.cap], cast("dict[str, Any]", guards))
    else:
        gates = cast("dict[str, Any]", guards)
        given = [*GUARD_DEFAULTS[rule.gate], rule.name]
        made = _added(text, ("guards", rule.gate), rule.name, given, gates)
        made = _entered(made, rule, gates)
    if plain(made) != meant:
        raise BadRequest(
            "the policy is laid out in a way that a rule cannot be written into",
            got=rule.name or "cap",
            fix="copy the patch into it by hand",
        )
    return made


def switched(text: str, kind: str, name: str, *, off: bool) -> str:
    """The text with an agent or a tool switched off, or on again.

    All switches then stand in one line; comments between them go, the version before it keeps them.

    Raises:
        BadRequest: it stands so already, or the text is laid out in a way that cannot be written into.
    """
    before = plain(text)
    guards: dict[str, Any] = copy.deepcopy(before.get("guards") or {})
    switches: dict[str, Any] = dict(guards.get("switches") or {})
    listed: list[str] = list(switches.get(f"{kind}s") or [])
    if (name in listed) == off:
        raise BadRequest(f"this {kind} is switched {'off' if off else 'on'} already", got=name)
    listed = [*listed, name] if off else [one for one in listed if one != name]
    switches[f"{kind}s"] = listed
    switches = {key: value for key, value in switches.items() if value not in ([], None)}
    guards["switches"] = switches
    line = _flow(switches)
    node = _node(text, ("guards", "switches"))
    if node is not None:
        end = _end(node) if node.value else node.end_mark.index
        made = text[: node.start_mark.index] + line + text[end:]
    elif before.get("guards"):
        made = _under_guards(text, [f"switches: {line}"])
    else:
        made = _without_guards(text) + f"guards:\n  switches: {line}\n"
    if plain(made) != {**before, "guards": guards}:
        raise BadRequest(
            "the policy is laid out in a way that a switch cannot be written into",
            got=name,
            fix=f"write it in by hand: guards: {{switches: {line}}}",
        )
    return made


def _without_guards(text: str) -> str:
    """The text without an empty section, ready for one."""
    kept = [line for line in text.splitlines() if line.split("#")[0].strip() not in ("guards:", "guards: {}")]
    made = "\n".join(kept).rstrip("\n")
    return made + "\n\n" if made.strip() else made


def _meant(before: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(dict(before))
    guards: dict[str, Any] = data.get("guards") or {}
    data["guards"] = guards
    if rule.cap is not None:
        guards["caps"] = [*(guards.get("caps") or []), dict(rule.cap)]
        return data
    if rule.name in (guards.get("checks") or {}):
        raise BadRequest("the policy has a check of this name", got=rule.name, fix="accept it under another name")
    guards[rule.gate] = [*guards.get(rule.gate, GUARD_DEFAULTS[rule.gate]), rule.name]
    guards["checks"] = {**(guards.get("checks") or {}), rule.name: dict(rule.check or {})}
    return data


def _whole(guards: Mapping[str, Any]) -> str:
    lines = ["guards:"]
    for key, value in guards.items():
        if isinstance(value, dict):
            lines.append(f"  {key}:")
            lines += [f"    {name}: {_flow(entry)}" for name, entry in cast("dict[str, Any]", value).items()]
        else:
            lines.append(f"  {key}:")
            lines += [f"    - {_flow(item)}" for item in cast("list[Any]", value)]
    return "\n".join(lines) + "\n"


def _added(text: str, path: Sequence[str], item: str, given: Sequence[Any], guards: Mapping[str, Any]) -> str:
    """The text with an item more in a list of the guards; a list that is not there is begun with ``given``."""
    node = _node(text, path)
    if node is None or not node.value:
        if node is not None:
            return text[: node.start_mark.index] + f"[{item}]" + text[node.end_mark.index :]
        return _under_guards(text, [f"{path[-1]}: [{', '.join(_flow(one) for one in given)}]"])
    if node.flow_style:
        end = _end(node.value[-1])
        return f"{text[:end]}, {item}{text[end:]}"
    indent = node.value[0].start_mark.column - 2
    return _line_after(text, _end(node.value[-1]), f"{' ' * indent}- {item}")


def _entered(text: str, rule: Rule, guards: Mapping[str, Any]) -> str:
    """The text with a check more."""
    entry = f"{rule.name}: {_flow(rule.check)}"
    node = _node(text, ("guards", "checks"))
    if node is None:
        return _under_guards(text, ["checks:", f"  {entry}"])
    if not node.value:
        return text[: node.start_mark.index] + f"{{{entry}}}" + text[node.end_mark.index :]
    if node.flow_style:
        end = _end(node.value[-1][1])
        return f"{text[:end]}, {entry}{text[end:]}"
    return _line_after(text, _end(node.value[-1][1]), f"{' ' * node.value[0][0].start_mark.column}{entry}")


def _under_guards(text: str, lines: Sequence[str]) -> str:
    node = _node(text, ("guards",))
    if node.flow_style:
        end = _end(node.value[-1][1])
        joined = lines[0] if len(lines) == 1 else f"checks: {{{lines[1].strip()}}}"
        return f"{text[:end]}, {joined}{text[end:]}"
    indent = " " * node.value[0][0].start_mark.column
    return _line_after(text, _end(node.value[-1][1]), "\n".join(indent + line for line in lines))


def _line_after(text: str, end: int, line: str) -> str:
    """A line more behind the one that something ends in."""
    if end and text[end - 1] == "\n":
        return f"{text[:end]}{line}\n{text[end:]}"
    at = text.find("\n", end)
    return f"{text}\n{line}\n" if at < 0 else f"{text[: at + 1]}{line}\n{text[at + 1 :]}"


# Nodes of the package, which has no type stubs.
def _node(text: str, path: Sequence[str]) -> Any:
    import yaml as package

    yaml = cast("Any", package)
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for step in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        below: list[Any] = [value for key, value in node.value if key.value == step]
        node = below[0] if below else None
    return node if isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) else None


def _end(node: Any) -> int:
    """Where something ends in the text: of a block, where the last of what stands in it does."""
    if isinstance(node.value, str) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _flow(value: Any) -> str:
    """Plain data in one line of YAML; every text in quotes, which JSON's are."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key}: {_flow(item)}" for key, item in cast("Mapping[str, Any]", value).items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(item) for item in cast('list[Any]', value))}]"
    if isinstance(value, str):
        simple = value.isascii() and value.replace("_", "").replace("-", "").isalnum() and not value[0].isdigit()
        reserved = value.lower() in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
        # In single quotes a backslash is one: expressions stay readable.
        return value if simple and not reserved else "'" + value.replace("'", "''") + "'"
    return json.dumps(value)
