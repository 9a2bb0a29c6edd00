"""Who may import whom. The list is the architecture: change it in a commit of its own, with the reason."""

from __future__ import annotations

import re

import pytest

from .sources import SOURCE, files, own_imports, package_of, strings

ALLOWED: dict[str, str] = {
    # What runs in the user's process: light, and without a store.
    "records": "",
    "conventions": "records",
    # The policy file: found, read, watched. Its sections are read by those whom they concern.
    "policy": "records",
    "guards": "records",
    "costs": "records",
    # Retries, breakers, fallbacks, limits: decisions without I/O, for the user's process and the gateway alike.
    "survival": "records",
    # Posting OTLP, for the recorder, followed logs and the forwarder.
    "otlp": "records",
    "sdk": "records otlp guards",
    # What other tools wrote, read and sent in the user's process, encoded as the recorder encodes.
    "imports": "records otlp sdk",
    # What is wrong with a trace: rules over plain facts, run as spans arrive and again when somebody asks why.
    "signals": "records",
    # The only SQL.
    "store": "records",
    # Domains do not import each other sideways: they meet through records and stored rows. Reading history again needs
    # the rules that read it first, and explaining a cost needs the prices.
    "intake": "records store conventions costs guards signals otlp",
    # What is added to a record afterwards. Below `traces`, which shows it beside what was recorded.
    "annotations": "records store",
    # Deleting on request, which a person confirms.
    "deletions": "records store",
    "traces": "records store annotations conventions costs signals",
    "access": "records store",
    # What may be spent: accounts in the store, worst cases by the price book.
    "budgets": "records store costs",
    # Actions that wait for a person: what the policy asks for, and the records of who decided.
    "approvals": "records store policy",
    # The server's policy: its versions, another one tried on stored traffic, rules proposed from it.
    "policies": "records store policy guards budgets approvals survival gateway",
    # What survives restarts. Domains write workflows against its verbs; the server gives a worker what they need.
    "jobs": "records store",
    # What keeps an agent to its task: cores in the user's process. Plans and memories are kept in the store's smallest
    # part; what it does is noted by the recorder, on the trace of the run; runs that survive
    # are runs of jobs. What its calls may spend is reserved at a server, or in a database of its own.
    "runtime": "records store sdk jobs policy guards survival budgets costs otlp approvals",
    # Answers of models that are given again: plain rules, and the database they are kept in.
    "cache": "records store",
    # Which model a request needs: learned from stored calls; asked by the gateway through a protocol.
    "routing": "records store cache costs",
    # Calls of models that pass through the server. A call becomes a span as the recorder would write it; who may call,
    # and the journal, are given to it. What a kept answer saves is priced.
    "gateway": "records store sdk policy survival budgets guards cache costs",
    # What people are asked about traces. A label is an annotation; what is shown to them is what the verbs of traces give.
    "queues": "records store annotations traces",
    # Exports are made of what the verbs of traces give; their other half, on the user's side, needs neither.
    "files": "records store annotations traces",
    # Cases, runs and judges of an evaluation, and what a difference between two versions is worth. Judges are asked through
    # the gateway of the server that the recorder would find, and their money is capped by the price book. Archives that
    # another tool wrote are unpacked where their traces are read.
    "evals": "records sdk otlp costs imports",
    # Rules held against a change: the model is asked as a suite's judges are, within a cap on money.
    "review": "records evals",
    # Scores on sampled production traces: what the policy asks for, read as traces, judged as in an evaluation, written as
    # annotations.
    "online": "records store policy evals annotations traces",
    # A prompt improved by what a suite says of it.
    "optimize": "records evals",
    # Runs of suites on a server: kept in rows, masked as traces are, compared by the same rules as in a folder.
    "results": "records store guards evals",
    # Skills for coding agents: text of the package, and putting it where agents read it.
    "skills": "records",
    # Reads exports, on the user's side as on the server's: what a body says of itself is read by the rules of signals.
    "analysis": "records files signals",
    # Surfaces: thin over the verbs.
    "api": "records store annotations deletions traces access files jobs skills analysis runtime policy budgets guards cache gateway approvals policies routing queues online results",
    "web": "records store annotations deletions traces access jobs analysis policies policy approvals budgets guards gateway cache queues online results",
    "cli": "records",
    # Asks the API, over HTTP or within the server: the same tools for both.
    "mcp": "records",
    # What makes a server of the parts.
    "server": "records store intake annotations deletions traces access jobs api web costs conventions guards signals files analysis runtime policy budgets gateway cache approvals policies survival routing queues online results",
    "app": "records mcp runtime store intake annotations deletions traces access jobs api web server analysis policy policies budgets survival gateway guards cache approvals routing",
    # Public helpers for tests and demos: real clients, no store.
    "testing": "records",
}

LAZY: dict[tuple[str, str], str] = {
    ("cli", "mcp"): "`mcp` serves the client that starts it",
    ("cli", "runtime"): "`mcp --tools runtime` serves the client that starts it, without a server",
    ("cli", "app"): "`pilothouse up` is the server: imported when it is called",
    ("cli", "server"): "`down` and `status` read the runtime file the server writes",
    ("cli", "analysis"): "`analyze` works on an export where the command runs",
    ("cli", "evals"): "`eval` works on a folder of cases where the command runs",
    ("cli", "optimize"): "`optimize` runs cases where the command runs",
    ("cli", "review"): "`review` reads rules and a diff where the command runs",
    ("cli", "skills"): "`skills` lists and installs what ships with the package",
    ("cli", "files"): "`pull` writes the folder where the command runs; that half is standard library only",
    ("sdk", "conventions"): "`verify` reads a record as the server would; no agent's process does",
    ("sdk", "testing"): "`verify` puts a receiver and a pass-through around an agent; no agent's process does",
    ("cli", "guards"): "`eval from-trace` masks what it writes, where the command runs",
    ("cli", "otlp"): "`logs follow` and `import` say where to",
    ("cli", "imports"): "`import` reads files where the command runs",
    ("cli", "sdk"): "`run`, `verify` and `deliver` work in the user's process, `logs follow` sends",
}
"""Imports inside functions only, with the reason."""

_NOT_PACKAGES = {"__init__", "__version__", "py"}


def test_every_package_is_on_the_list() -> None:
    found = {package_of(path) for path in files()} - _NOT_PACKAGES
    assert found == set(ALLOWED) & found, f"not listed: {sorted(found - set(ALLOWED))}"


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_one_way(package: str) -> None:
    allowed = {*ALLOWED[package].split(), *_NOT_PACKAGES}
    wrong = [
        f"{found.file}:{found.line} imports {found.target}"
        for found in own_imports()
        if found.package == package
        and found.target_package not in allowed
        and not (found.lazy and (package, found.target_package) in LAZY)
    ]
    assert wrong == []


def test_the_list_has_no_circle() -> None:
    order: list[str] = []
    waiting = {package: set(allowed.split()) for package, allowed in ALLOWED.items()}
    while waiting:
        free = sorted(package for package, needs in waiting.items() if not needs & set(waiting))
        assert free, f"a circle among {sorted(waiting)}"
        order += free
        for package in free:
            del waiting[package]
    assert order[0] == "records"


_SQL = re.compile(r"\b(SELECT\b.+\bFROM\b|INSERT INTO\b|CREATE TABLE\b|ALTER TABLE\b|DELETE FROM\b)", re.DOTALL)
_USERS_SQL = {
    "cli/": "examples of what users may type",
    "mcp/": "examples of what users may type",
    "server/try_out.py": "asks over HTTP, in users' SQL, as anybody could",
    "web/": "examples of what users may type",
    "testing/": "examples of what users may type",
    "conventions/": "SQL that agents run, as data",
    "intake/": "SQL that agents run, as data",
    "analysis/": "queries over an export's own SQLite file, which it only reads",
    "runtime/dry_run.py": "counts rows of a user's own statement, on the user's own database",
    "files/": "an export's own SQLite file on the user's side, and papers that quote queries for it",
}


def test_sql_is_written_in_the_store_alone() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in files()
        if package_of(path) != "store" and not str(path.relative_to(SOURCE)).startswith(tuple(_USERS_SQL))
        for line, text in strings(path)
        if _SQL.search(text)
    ]
    assert wrong == []
