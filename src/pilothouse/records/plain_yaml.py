"""YAML as plain data: strings, numbers, booleans, null, lists, and mappings with text for keys. All else is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO, Any, Final, cast

from .errors import BadRequest

_DEPTH_MAX: Final = 40
_TOLD_CHARS_MAX: Final = 50_000


def plain_yaml(text: str, shown: str) -> Any:
    """What a text in YAML says, as plain data; None where it is empty.

    ``shown``: what errors call it.

    Raises:
        BadRequest: it is no YAML, or uses what is refused here: aliases, merges, tags, keys that are there twice.
    """
    import yaml as package  # half of what reading a policy costs: only where there is one

    # The package has no type stubs.
    yaml = cast("Any", package)
    try:
        # The composer in C is some ten times as fast; it reads the same.
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return None if node is None else _plain(node, shown, "", yaml)
    except yaml.YAMLError as found:
        error = _told_in_python(text, yaml) or found
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "somewhere"
        problem = getattr(error, "problem", None) or str(error) or "it cannot be read"
        if "nesting depth" in problem:
            raise BadRequest(f"{shown} is nested too deeply", allowed=f"{_DEPTH_MAX} levels") from found
        raise BadRequest(
            f"{shown} is no YAML: {problem}", got=where, fix="mind the indentation and the quotes"
        ) from found
    except RecursionError as error:
        raise BadRequest(f"{shown} is nested too deeply", allowed=f"{_DEPTH_MAX} levels") from error


def _told_in_python(text: str, yaml: Any) -> Any:
    """The same complaint by the composer in Python, which says better where it is; None where the text is long."""
    if len(text) > _TOLD_CHARS_MAX:
        return None
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return error
    except RecursionError:
        return None
    return None


# The package has no type stubs here: nodes are what its composer makes.
def _plain(node: Any, shown: str, place: str, yaml: Any, seen: set[int] | None = None, depth: int = 0) -> Any:
    """Plain data of a node: strings, numbers, booleans, null, lists, and mappings with text for keys."""
    seen = set() if seen is None else seen
    line = node.start_mark.line + 1
    if depth > _DEPTH_MAX:
        raise BadRequest(f"{shown} is nested too deeply", got=f"line {line}", allowed=f"{_DEPTH_MAX} levels")
    if not isinstance(node, yaml.ScalarNode):
        if id(node) in seen:
            raise BadRequest(f"{shown} uses an alias (*name)", got=f"line {line}", fix="write out what it stands for")
        seen.add(id(node))
        if node.tag not in ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise BadRequest(
                f"{shown}: {place} has a type that is not known", got=str(node.tag), fix="take the tag away"
            )
    if isinstance(node, yaml.SequenceNode):
        return [
            _plain(item, shown, f"{place}[{number}]", yaml, seen, depth + 1) for number, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            at = f"line {key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise BadRequest(f"{shown}: a key is a word", got=at)
            key = str(key_node.value)
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise BadRequest(f"{shown} uses a merge (<<)", got=at, fix="write out what it stands for")
            if key in found:
                raise BadRequest(f"{shown} has {f'{place}.{key}'.lstrip('.')} twice", got=at, fix="take one away")
            found[key] = _plain(value_node, shown, f"{place}.{key}".lstrip("."), yaml, seen, depth + 1)
        return found
    return _scalar(node, shown, place, yaml)


def _scalar(node: Any, shown: str, place: str, yaml: Any) -> Any:
    if ":" in node.value and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        # YAML 1.1 reads 22:30 as a number to the base of sixty. Whoever writes it means a time of day.
        return str(node.value)
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except yaml.YAMLError as error:
        raise BadRequest(
            f"{shown}: {place} has a type that is not known", got=str(node.tag), fix="write plain text or a number"
        ) from error
    except ValueError as error:
        raise BadRequest(
            f"{shown}: {place} cannot be read", got=str(node.value)[:100], fix="put it in quotes"
        ) from error
    if value is None or isinstance(value, str | bool | int | float):
        return value
    # Dates and bytes: the text as it stands, for the owner to read.
    return str(node.value)


def yaml_items(file: IO[bytes], shown: str, keys: Collection[str], *, items: bool) -> Iterator[tuple[str, Any]]:
    """The top of a YAML file piece by piece, for files that are not held whole.

    ``items``: the members of the lists under ``keys``, or of the file's own list (with an empty name); else what stands
    under all other names.

    Raises:
        BadRequest: as :func:`plain_yaml`.
    """
    import yaml as package

    yaml = cast("Any", package)
    events = yaml.parse(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    resolver = yaml.resolver.Resolver()

    def node(event: Any, depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise BadRequest(f"{shown} is nested too deeply", allowed=f"{_DEPTH_MAX} levels")
        at = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise BadRequest(
                f"{shown} uses an alias (*name)", got=f"line {at.line + 1}", fix="write out what it stands for"
            )
        if isinstance(event, yaml.ScalarEvent):
            tag = event.tag
            if tag in (None, "!"):
                tag = resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
            return yaml.ScalarNode(tag, event.value, at, event.end_mark)
        if isinstance(event, yaml.SequenceStartEvent):
            listed: list[Any] = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                listed.append(node(inner, depth + 1))
            return yaml.SequenceNode(event.tag or "tag:yaml.org,2002:seq", listed, at, at)
        pairs: list[tuple[Any, Any]] = []
        while not isinstance(inner := next(events), yaml.MappingEndEvent):
            key = node(inner, depth + 1)
            pairs.append((key, node(next(events), depth + 1)))
        return yaml.MappingNode(event.tag or "tag:yaml.org,2002:map", pairs, at, at)

    def members(name: str) -> Iterator[tuple[str, Any]]:
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            found = node(inner, 1)
            if items:
                yield name, _plain(found, shown, name, yaml)

    try:
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return
        top = next(events)
        if isinstance(top, yaml.SequenceStartEvent):
            yield from members("")
            return
        if not isinstance(top, yaml.MappingStartEvent):
            raise BadRequest(f"{shown} is neither a mapping nor a list", got=f"line {top.start_mark.line + 1}")
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            name = str(node(event, 1).value)
            value = next(events)
            if name in keys and isinstance(value, yaml.SequenceStartEvent):
                yield from members(name)
            else:
                found = node(value, 1)
                if not items:
                    yield name, _plain(found, shown, name, yaml)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "somewhere"
        problem = getattr(error, "problem", None) or str(error) or "it cannot be read"
        raise BadRequest(f"{shown} is no YAML: {problem}", got=where) from error
