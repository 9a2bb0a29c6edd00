"""Values and queries as models write them: right, wrong, broken and hostile; seeded."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from pilothouse.runtime.data_tools import Answer, DataTools

_PATHS = (
    ".", "", ".rows", ".rows[0]", ".rows[-1].text", ".rows[999999]", ".wide", ".wide.k17", ".long", ".deep", ".map",
    '.map["key 7"]', ".rows[0].", "..", "rows", "[", ".[", '.["', ".odd", '.odd[""]', ".x" * 400, "." + "y" * 9_000,
    '."\\ud800"', ".rows[99999999999999999999]", "💥", "\x00", ".rows[0][0]", ".empty", ".empty[0]", ".bytes",
)  # fmt: skip
_STEPS = (
    ".", ".rows", ".rows[]", ".[]", ".[]?", "keys", "keys_unsorted", "length", "map(.)", "to_entries", "tojson", "@text",
    "..", "[..]", "[paths]", "tostream", "add", "type", "first", "last", "sort", "unique", "group_by(.state)", "flatten",
    ".rows[:50]", "[.rows[] | {id, state}]", "map(select(.id > 10))", "(.rows | length)", ".long", ".long | explode",
    ".long * 3", "limit(3; .rows[])", "@json", "@csv", "@base64", "@base64d", "@base32", "@html", "[.rows[].text] | add",
    "with_entries(.value |= tostring)", "walk(.)", "getpath([\"rows\", 0, \"id\"])", "error", "error(\"x\" * 20000)",
    "input", "[inputs]", "env", "$ENV", "$__loc__", "input_filename", "ltrimstr(\"a\")", "tonumber", "nan", "infinite",
    "\"\\u0000\" * 5000", "ascii_downcase", "test(\"(a+)+$\")", "splits(\", \")", "fromjson", "halt_error", "debug",
)  # fmt: skip
_BROKEN = (
    "", " ", "#", "# only a comment", "(", ")", "[", "{", "\"", ".[", "|", "| .", ". |", ".rows[", "foo", "foo(1)", "$x",
    ". as [$a", "import \"x\" as x; .", "include \"x\"; .", "def f: f", "\x00", ".\x00", "é", "SELECT * FROM rows", "rows.0",
    ".rows.0", "\\", "`.rows`", "jq '.rows'", "." + ".a" * 5_000, "(" * 3_000, "\"" + "b" * 30_000 + "\"", ". + \"\\ud800\"",
)  # fmt: skip
_PATTERNS = (
    "", ".", ".*", "declined|paid", "^id: 1", "(", "[", "(a+)+$", "\\d{3,}", "(?i)PAID", "x{1001}", "(?=a)", "\\p{Greek}",
    "\x00", "\ud800", "a" * 20_000, "💥", "$", "^", "\\", "(?P<a>x)(?P<a>y)", "[^\\x00-\\x7f]",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query, so that a failure can be read and asked again."""

    tool: str
    arguments: tuple[Any, ...]

    def of(self, tools: DataTools, id: str) -> Answer:
        """Ask it."""
        if self.tool == "grep_json":
            pattern, ignore = self.arguments
            return tools.grep_json(id, pattern, ignore_case=ignore)
        if self.tool == "show":
            return tools.show(id)
        return getattr(tools, self.tool)(id, *self.arguments)


def queries(
    seed: int, count: int, *, tools: tuple[str, ...] = ("jq", "grep_json", "slice", "schema", "show")
) -> list[Asked]:
    """So many queries of these tools."""
    chance = random.Random(seed)
    return [_query(chance, chance.choice(tools)) for _ in range(count)]


def _query(chance: random.Random, tool: str) -> Asked:
    if tool == "jq":
        if chance.random() < 0.25:
            return Asked(tool=tool, arguments=(chance.choice(_BROKEN),))
        return Asked(tool=tool, arguments=(" | ".join(chance.choices(_STEPS, k=chance.randint(1, 3))),))
    if tool == "grep_json":
        return Asked(tool=tool, arguments=(chance.choice(_PATTERNS), chance.random() < 0.5))
    if tool == "slice":
        start = chance.choice((0, 0, 1, -1, -5, 17, 4_999, 10**9, -(10**9), 2**70))
        count = chance.choice((0, 1, 3, 20, 999, 10**9, -4))
        return Asked(tool=tool, arguments=(chance.choice(_PATHS), start, count))
    return Asked(tool=tool, arguments=(chance.choice(_PATHS),) if tool == "schema" else ())


def values(seed: int) -> dict[str, Any]:
    """Values of every kind that tools return, each too large to be shown."""
    chance = random.Random(seed)
    rows = [
        {
            "id": number,
            "state": chance.choice(("paid", "declined")),
            "text": "Ωé " * chance.randint(0, 60),
            "odd\n": None,
        }
        for number in range(600)
    ]
    deep: Any = "bottom"
    for number in range(60):
        deep = {f"level {number}": deep, "beside": [number] * 3}
    return {
        "mixed": {
            "rows": rows,
            "wide": {f"k{number}": "v" * (number % 200) for number in range(900)},
            "long": "lorem ipsum " * 4_000,
            "deep": deep,
            "map": {f"key {number}": {"n": number} for number in range(2_000)},
            "odd": {"": {"[0]": [float("nan"), float("inf"), 2**80, -0.0]}, "\ud800": "\ud800", "x" * 5_000: 1},
            "empty": [],
        },
        "array of arrays": [[[column * line for column in range(30)] for line in range(30)] for _ in range(20)],
        "lines": "\n".join(json.dumps(row) for row in rows) + '\n{"torn": ',
        "csv": "id;name;note\n" + "\n".join(f'{number};"a ""b""";{"n" * 30}' for number in range(2_000)),
        "one line of text": "word " * 20_000,
        "text": "\n".join(f"line {number} " + "x" * (number % 300) for number in range(2_000)),
        "bytes": bytes(chance.randrange(256) for _ in range(30_000)),
        "not UTF-8": b'{"a": "' + b"\xff\xfe" * 9_000 + b'"}',
        "nested too deep": "[" * 100_000 + "]" * 100_000,
        "keys only": {"k" * 900 + str(number): number for number in range(200)},
        "numbers": [chance.random() * 10 ** chance.randint(-300, 300) for _ in range(3_000)],
        "control signs": {"a": "".join(map(chr, range(40))) * 400},
        "one key": {"a": {"b": {"c": "z" * 50_000}}},
    }
