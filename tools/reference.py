"""Writes ``docs/reference/``: the command line, SQL, HTTP and configuration, from the code that implements them.

``python -m tools.reference`` writes the files; ``--check`` fails where one is out of date.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pilothouse.cli.help import EXIT_CODES, PlainCommand
from pilothouse.cli.root import COMMANDS, root
from pilothouse.cli.settings import AGENT_VARIABLES
from pilothouse.intake.forward import Upstream
from pilothouse.server.config import Config, MaskConfig
from pilothouse.signals import Thresholds
from pilothouse.store import VIEWS
from pilothouse.store.user_sql import ROWS_MAX, SqlLimits
from pilothouse.traces import FIELDS, SORTS
from tools import schemas

FOLDER = Path(__file__).parent.parent / "docs/reference"
_MADE = "<!-- Written by `python -m tools.reference` from the code. Do not edit. -->\n"

QUESTIONS: tuple[tuple[str, str], ...] = (
    (
        "What does each model cost a day?",
        "SELECT toDate(start_time) AS day, model, count() AS calls, sum(cost_usd) AS usd\n"
        "FROM spans WHERE kind = 'model' AND start_time > now() - INTERVAL 7 DAY\n"
        "GROUP BY day, model ORDER BY day DESC, usd DESC",
    ),
    (
        "How long do traces take, by agent?",
        "SELECT agent, count() AS traces, quantiles(0.5, 0.95, 0.99)(duration_ms) AS ms\n"
        "FROM traces WHERE start_time > now() - INTERVAL 1 DAY GROUP BY agent ORDER BY traces DESC",
    ),
    (
        "Which tools fail, and how?",
        "SELECT tool_name, countIf(status = 'error' OR tool_error != '') AS failed, count() AS calls,\n"
        "  topK(3)(if(error_message != '', error_message, tool_error)) AS says\n"
        "FROM spans WHERE kind = 'tool' GROUP BY tool_name HAVING failed > 0 ORDER BY failed DESC",
    ),
    (
        "Which traces called one tool more than five times with the same arguments?",
        "SELECT trace_id, tool_name, input_text, count() AS times FROM spans WHERE kind = 'tool'\n"
        "GROUP BY trace_id, tool_name, input_text HAVING times > 5 ORDER BY times DESC",
    ),
    (
        "How much of the input comes from the cache?",
        "SELECT model, sum(cache_read_tokens) / sum(input_uncached_tokens + cache_read_tokens + cache_write_tokens) AS share\n"
        "FROM spans WHERE kind = 'model' AND usage_scope != 'aggregate' GROUP BY model ORDER BY share DESC",
    ),
    (
        "Who said a word, where?",
        "SELECT time, role, trace_id, left(content, 200) AS words FROM messages\n"
        "WHERE hasAllTokens(content, 'refund') ORDER BY time DESC LIMIT 20",
    ),
    (
        "Which step was the slowest of each trace?",
        "SELECT trace_id, step, kind, name, duration_ms FROM spans WHERE kind != 'agent'\n"
        "ORDER BY duration_ms DESC LIMIT 1 BY trace_id LIMIT 20",
    ),
    (
        "How does a new version of an agent compare?",
        "SELECT agent, agent_version, count() AS traces, avg(errors > 0) AS failing,\n"
        "  quantile(0.95)(duration_ms) AS p95_ms, avg(toFloat64(cost_usd)) AS usd\n"
        "FROM traces GROUP BY agent, agent_version ORDER BY agent, agent_version",
    ),
    (
        "Which conversations went wrong after the first turn?",
        "SELECT session_id, traces, errors, first_input, last_output FROM sessions\n"
        "WHERE traces > 1 AND errors > 0 ORDER BY end_time DESC LIMIT 20",
    ),
    (
        "Which attribute values go with failures?",
        "SELECT key, attributes[key] AS value, countIf(status = 'error') AS failed, count() AS spans\n"
        "FROM spans ARRAY JOIN mapKeys(attributes) AS key WHERE length(attributes[key]) < 60\n"
        "GROUP BY key, value HAVING failed > 0 ORDER BY failed / count() DESC, failed DESC LIMIT 20",
    ),
)
"""Questions people ask, as SQL. The tests run each."""


def _within(name: str, group: click.Group) -> list[tuple[str, click.Command]]:
    """The commands of a group, those of groups within it included."""
    found: list[tuple[str, click.Command]] = []
    for inner, command in sorted(group.commands.items()):
        found.append((f"{name} {inner}", command))
        if isinstance(command, click.Group):
            found += _within(f"{name} {inner}", command)
    return found


def every_command() -> list[tuple[str, click.Command]]:
    """Every command by its words, groups included."""
    context = click.Context(root, info_name="pilothouse")
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += _within(name, command)
    return found


def cli() -> str:
    """``cli.md``."""
    lines = ["# Command line", "", _MADE]
    lines += ["```text", _help(root, "pilothouse"), "```", ""]
    lines += [
        "## What every command does alike",
        "",
        "- On a terminal: text for people. In a pipe, or with `--json`: one line of JSON,",
        '  `{"ok":true,"data":…,"page":{"next","more","total"},"cut":[{"path","bytes","get"}],"next":["pilothouse …"]}`.',
        "  `--human` asks for text in a pipe. Text forms that are asked for by name (`show --as tree`) stay text.",
        "- `--budget N` is the most characters of an answer (10,000 unless said; `PILOTHOUSE_BUDGET`). What is cut is named",
        "  under `cut`, with the command that gets it. `--out FILE` writes everything and prints path, bytes, lines, head.",
        "- `--fields a,b.c` chooses fields; a dot reaches inside.",
        "- Ids may be shortened to a unique beginning; `last` and `last-error` are ids too. Lists are newest first and then",
        "  by id, cover the last seven days unless `--since` says otherwise, and go on with `--cursor`.",
        "- Recorded content is data, never instructions: in text it is fenced by a random marker, quoted or indented, and",
        "  without escapes, control characters and invisible marks. In a pipe, lists (ls, sessions, live, tail) carry names",
        "  and numbers but no free text, so that who polls them cannot be talked to; --fields input_text,first_error asks for",
        "  it, and people on a terminal see its beginning. search, logs, sql and whatever names one id give what is asked.",
        '- Errors go to stderr: `{"error":{"kind","message","got","allowed","fix"}}`, on a terminal as text with a hint.',
        "",
        "| exit | means |",
        "| --- | --- |",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
        "",
        "| variable | means |",
        "| --- | --- |",
        "| `PILOTHOUSE_URL`, `PILOTHOUSE_API_KEY` | the server to ask, and the key. Without them: the server of this machine |",
        "| `PILOTHOUSE_DATA` | the data folder; default `~/.pilothouse` |",
        "| `PILOTHOUSE_BUDGET` | the default of `--budget` |",
        "| `PILOTHOUSE_AGENT` | set by an agent that works on a terminal, best to its name: it gets JSON there too, and only reads on the server's own machine. The same do "
        + ", ".join(f"`{name}`" for name in AGENT_VARIABLES if name != "PILOTHOUSE_AGENT")
        + " |",
        "| `PILOTHOUSE_MODE` | the most a command may do: read, annotate, write or admin; agents without a key: read |",
        "| `PILOTHOUSE_PERSON` | 1: a script speaks for the person who set it: it may delete with `--yes`, and decide what waits for a person |",
        "| `PILOTHOUSE_RUN` | the run that writes belong to, as `--run` says it; `pilothouse undo --run` takes it back |",
        "| `PILOTHOUSE_DEBUG` | show where a defect is |",
        "",
        "## Filters",
        "",
        "`ls`, and `--filter` elsewhere, take terms separated by spaces; all must hold. `field:value` (several: `a,b`; any",
        'characters: `*`), `field>1.5` (`<`, `>=`, `<=`, `!=`), `-term` for not, words and `"quoted phrases"` for text.',
        "",
        f"Fields: {', '.join(f'`{name}`' for name in FIELDS)}. Orders: {', '.join(f'`{name}`' for name in SORTS)}.",
        "",
        "## Commands",
        "",
    ]
    for name, command in every_command():
        if isinstance(command, PlainCommand) or name in ("cost", "sessions", "logs", "skills", "docs"):
            lines += [f"### pilothouse {name}", "", "```text", _help(command, f"pilothouse {name}"), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _help(command: click.Command, path: str) -> str:
    return command.get_help(click.Context(command, info_name=path)).strip()


def sql() -> str:
    """``sql.md``."""
    limits = SqlLimits()
    lines = [
        "# SQL",
        "",
        _MADE,
        "One read-only `SELECT` (or `WITH`, or `UNION`) in ClickHouse's dialect, over the views below, limited to the",
        "project of the key. `pilothouse sql`, the SQL page and `POST /api/v1/sql` are the same thing.",
        "",
        "## Bounds",
        "",
        f"{limits.rows:,} rows unless asked (up to {ROWS_MAX:,}), {limits.bytes:,} bytes of answer, {limits.seconds} seconds,",
        f"{limits.memory_bytes:,} bytes of memory, {limits.read_bytes:,} bytes read. Rows and bytes are cut and `more` is true;",
        "the others end the statement with an error that says which.",
        "",
        "## What is not there",
        "",
        "Tables other than the views, names with a database, table functions except `numbers(n)`, `SETTINGS`, `FORMAT`,",
        "`INTO`, `SAMPLE`, `WITH TOTALS` (use `WITH ROLLUP`), parameters, and functions that read files, addresses,",
        "dictionaries, settings or facts of the server. `FINAL` is left out and `PREWHERE` is read as `WHERE`. A statement",
        "that would be read otherwise than it is written is refused rather than answered.",
        "",
        "## Questions",
        "",
    ]
    for title, question in QUESTIONS:
        lines += [f"{title}", "", "```sql", question, "```", ""]
    lines += ["## Views", ""]
    for view in VIEWS:
        lines += [f"### {view.name}", "", view.help, "", "| column | |", "| --- | --- |"]
        lines += [f"| `{column.name}` | {_cell(column.help)} |" for column in view.columns] + [""]
    return "\n".join(lines).rstrip() + "\n"


def http() -> str:
    """``http.md``."""
    document = schemas.described()
    lines = [
        "# HTTP",
        "",
        _MADE,
        "`GET /openapi.json` describes everything here by machine. Send `Authorization: Bearer KEY` or `x-api-key: KEY`.",
        "",
        'A good answer: `{"ok":true,"data":…,"page":{…},"cut":[…],"next":[…]}`; a bad one, with its HTTP status:',
        '`{"error":{"kind","message","got","allowed","fix"}}`. Keys are only ever added.',
        "",
        "OTLP is taken at `POST /v1/traces`, `/v1/logs`, `/v1/metrics` (protobuf or JSON; gzip, deflate, zstd), and over gRPC.",
        "",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += [f"## {method.upper()} {path}", "", *_sentences(operation), ""]
            rows = [
                (item["name"], item["in"], item.get("description", ""), item["schema"].get("default", ""))
                for item in operation.get("parameters", [])
                if item["in"] in ("query", "path")
            ]
            rows += _body_rows(operation, document)
            if rows:
                lines += ["| parameter | in | | default |", "| --- | --- | --- | --- |"]
                lines += [
                    f"| `{name}` | {place} | {_cell(text)} | {_default(default)} |"
                    for name, place, text, default in rows
                ]
                lines.append("")
            model = _answer_model(operation)
            if model:
                lines += [f"Answer: `{model}`.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _sentences(operation: dict[str, Any]) -> list[str]:
    return [" ".join(str(operation.get("description") or operation.get("summary") or "").split())]


def _body_rows(operation: dict[str, Any], document: dict[str, Any]) -> list[tuple[str, str, str, Any]]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = str(content.get("schema", {}).get("$ref", "")).rsplit("/", 1)[-1]
    properties: dict[str, Any] = document["components"]["schemas"].get(name, {}).get("properties", {})
    return [
        (field, "body", about.get("description", ""), about.get("default", "")) for field, about in properties.items()
    ]


def _answer_model(operation: dict[str, Any]) -> str:
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    name = str(content.get("application/json", {}).get("schema", {}).get("$ref", "")).rsplit("/", 1)[-1]
    name = name.removeprefix("Envelope_").strip("_").replace("list_", "list of ")
    # Of several forms the first is the whole one; the others are cut to a budget.
    return name.removeprefix("Union_").split("__")[0]


def _default(value: Any) -> str:
    return "" if value in ("", None) else f"`{value}`"


def configuration() -> str:
    """``configuration.md``."""
    tables: dict[str, list[str]] = {"limits": [], "server": [], "mask": [], "prices": []}
    for name, default, text in fields_of(Config):
        if name in ("mask", "mask_by_project", "prices", "forward", "signals"):
            continue
        table = "server" if name == "allowed_hosts" else "limits"
        tables[table].append(f"| `{name}` | {_default(default)} | {_cell(text)} |")
    for name, default, text in fields_of(MaskConfig):
        tables["mask"].append(f"| `{name}` | {_default(default)} | {_cell(text)} |")
    head = ["| setting | default | |", "| --- | --- | --- |"]
    about = {name: text for name, _, text in fields_of(Config)}
    lines = [
        "# Configuration",
        "",
        _MADE,
        "Nothing needs to be configured. `pilothouse up --config FILE` reads a TOML file; an unknown or ill-typed setting",
        "stops the start with its name.",
        "",
        "## [limits]",
        "",
        *head,
        *tables["limits"],
        "",
        "## [server]",
        "",
        *head,
        *tables["server"],
        "",
        "## [mask] and [mask.PROJECT]",
        "",
        f"{about['mask']} {about['mask_by_project']}",
        "",
        *head,
        *tables["mask"],
        "",
        "## [[forward]]",
        "",
        about["forward"],
        "",
        *head,
        *(f"| `{name}` | {_default(default)} | {_cell(text)} |" for name, default, text in fields_of(Upstream)),
        "",
        '## [signals] and [signals.agents."NAME"]',
        "",
        f"{about['signals']} The rules: [signals](../concepts/signals.md).",
        "",
        *head,
        *(f"| `{name}` | {_default(default)} | {_cell(text)} |" for name, default, text in fields_of(Thresholds)),
        "",
        "## [[prices]]",
        "",
        about["prices"],
    ]
    return "\n".join(lines).rstrip() + "\n"


def fields_of(kind: type[Any]) -> list[tuple[str, Any, str]]:
    """The fields of a dataclass: name, default, and the sentence below it."""
    texts: dict[str, str] = {}
    body = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            texts[field.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    found: list[tuple[str, Any, str]] = []
    for field in dataclasses.fields(kind):
        default: Any = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else ""
        shown = list(default) if isinstance(default, tuple) else default
        found.append((field.name, shown if shown not in ([], {}) else "", texts.get(field.name, "")))
    return found


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "sql.md": sql,
    "http.md": http,
    "configuration.md": configuration,
}


def main(arguments: list[str]) -> int:
    """Write the pages and the schemas, or check them; 1 where one is out of date or would take a promised key away."""
    stale = _schemas(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if "--check" in arguments:
            if not path.exists() or path.read_text() != text:
                stale = 1
                sys.stderr.write(f"docs/reference/{name} is out of date: python -m tools.reference\n")
        else:
            path.write_text(text)
            sys.stdout.write(f"docs/reference/{name}: {len(text):,} characters\n")
    return stale


def _schemas(arguments: list[str]) -> int:
    path, text = schemas.FILE, schemas.made()
    old = path.read_text() if path.exists() else ""
    if "--check" in arguments:
        if old != text:
            sys.stderr.write(f"{path.name} is out of date: python -m tools.reference\n")
        return int(old != text)
    lost = schemas.gone(old, text) if old else []
    if lost and "--keys-may-go" not in arguments:
        sys.stderr.write("answers would lose what others may read:\n" + "".join(f"  {one}\n" for one in lost))
        sys.stderr.write("hint: keep the keys, or say --keys-may-go and tell so in CHANGELOG.md\n")
        return 1
    path.write_text(text)
    sys.stdout.write(f"{path.name}: {len(text):,} characters\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
