"""Fixtures that several folders share: real stores on both drivers, a database per test."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pilothouse.cli.settings import AGENT_VARIABLES
from pilothouse.store import TraceStore
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.clickhouse_engine import ClickHouseEngine
from pilothouse.store.engine import Engine
from tests.live import LiveServer, running_server

HERE = Path(__file__).parent

# Where an agent runs the tests, commands of the tests are a person's all the same.
for name in AGENT_VARIABLES:
    os.environ.pop(name, None)
# The hundreds of processes that the tests start would each compile the whole package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# How long an example takes says how busy the machine is, and nothing of ours.
settings.register_profile("busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
NODE_LIBRARY = HERE / "store/node/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"


MEMORY = Path("/dev/shm/pilothouse-tests")
"""Folders of tests lie in memory where there is room: stores and journals wait for the disk at every step."""
ROOM_BYTES = 8_000_000_000


def pytest_configure(config: pytest.Config) -> None:
    """Take memory for the folders of a quick run; what earlier runs left there goes."""
    if hasattr(config, "workerinput") or config.option.basetemp or config.option.markexpr != "not slow":
        return
    with contextlib.suppress(OSError):
        for left in MEMORY.glob("*"):
            if not Path(f"/proc/{left.name}").exists():
                shutil.rmtree(left, ignore_errors=True)
        available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        free = shutil.disk_usage(MEMORY.parent).free
        if available and min(free, int(available[1]) * 1000) >= ROOM_BYTES:
            folder = MEMORY / str(os.getpid())
            folder.mkdir(parents=True, exist_ok=True)
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
    """What a green run leaves goes at once, after all that used it; that of another one with the next run."""
    result = yield
    if not hasattr(session.config, "workerinput") and exitstatus == 0:
        shutil.rmtree(MEMORY / str(os.getpid()), ignore_errors=True)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules, tests and what they are made of stay until the end.

    Looking through a million objects for rubbish again and again costs more than many a test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def fixtures_folder() -> Path:
    """Real data that is kept outside the project; tests that use it are skipped where it is absent."""
    folder = Path(os.environ.get("PILOTHOUSE_FIXTURES", HERE.parent.parent / "shared/fixtures"))
    if not folder.is_dir():
        pytest.skip("no fixtures folder (PILOTHOUSE_FIXTURES)")
    return folder


@pytest.fixture(scope="session")
def chdb_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChdbEngine]:
    """One storage process for the whole run: opening many leaks threads in the engine."""
    engine = ChdbEngine(tmp_path_factory.mktemp("chdb") / "store", owner=True)
    yield engine
    engine.close()


@pytest.fixture
def store(chdb_engine: ChdbEngine) -> Iterator[TraceStore]:
    """An empty embedded store of its own."""
    yield from fresh_store(chdb_engine)


@pytest.fixture(params=["chdb", "clickhouse"])
def any_store(request: pytest.FixtureRequest) -> Iterator[TraceStore]:
    """An empty store on each driver in turn."""
    if request.param == "chdb":
        engine: Engine = request.getfixturevalue("chdb_engine")
    else:
        engine = ClickHouseEngine(request.getfixturevalue("clickhouse_url"))
    yield from fresh_store(engine)


@pytest.fixture(scope="session")
def clickhouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real ClickHouse server node; skipped where its library is not installed."""
    with server_node(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://127.0.0.1:{port}"


@contextlib.contextmanager
def server_node(folder: Path, *further: str, http_port: int = 0, tcp_port: int = 0) -> Iterator[int]:
    """Start a ClickHouse server node and give its HTTP port."""
    if not NODE_LIBRARY.exists():
        pytest.skip("no ClickHouse node: sh tests/prepare.sh")
    http_port, tcp_port = http_port or free_port(), tcp_port or free_port()
    script = str(HERE / "store/server_node.py")
    command = [sys.executable, script, str(NODE_LIBRARY), str(folder / "data"), str(tcp_port), str(http_port), *further]
    log = open(folder / "node.log", "wb")  # noqa: SIM115  # the process writes to it
    # A group of its own: it starts the node as a child.
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{http_port}/ping", timeout=2).read()
                break
            assert process.poll() is None, (folder / "node.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the node does not answer"
            time.sleep(0.1)
        yield http_port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


_left: dict[str, list[tuple[str, list[list[str]]]]] = {}
"""Empty databases by engine, with how their tables were made: to empty one is ten times as fast as to make another."""


def fresh_store(engine: Engine) -> Iterator[TraceStore]:
    """A store in a database of its own, emptied afterwards; dropped where a test changed what it is made of."""
    left = _left.setdefault(str(getattr(engine, "folder", "")) or id_of(engine), [])
    if left:
        name, made = left.pop()
        store = TraceStore(engine, database=name)
    else:
        store = TraceStore(engine, database="test_" + uuid.uuid4().hex[:12])
        store.migrate()
        made = tables_of(store)
    yield store
    if tables_of(store) != made:
        engine.execute(f"DROP DATABASE IF EXISTS {store.database}")
        return
    of = "database = {database:String} AND active AND table != 'schema_version'"
    filled = store.query(f"SELECT DISTINCT table FROM system.parts WHERE {of}", {"database": store.database})
    for (table,) in filled.rows:
        engine.execute(f"TRUNCATE TABLE {store.database}.{table}")
    left.append((store.database, made))


def tables_of(store: TraceStore) -> list[list[str]]:
    """What a database is made of, and which version it says it is."""
    sql = "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} ORDER BY name"
    tables = store.query(sql, {"database": store.database}).rows
    if "schema_version" not in [name for name, _ in tables]:
        return tables
    return tables + store.query("SELECT toString(count()), toString(max(version)) FROM {db}.schema_version").rows


def id_of(engine: Engine) -> str:
    """Which server an engine of ours speaks to."""
    return str(getattr(engine, "_nodes", id(engine)))


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A real server with the traffic of real clients, for all who do not mind what others do with it."""
    with running_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Debian's PostgreSQL on a port of its own; skipped where it is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs or shutil.which("psql") is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    # Apart from pytest's folders, which every further run of it closes to other users.
    folder, port = Path(tempfile.mkdtemp(prefix="pilothouse-pg-")), free_port()
    bin_folder = programs[-1].parent
    as_user: list[str] = []
    if os.getuid() == 0:
        # The server refuses to run as root.
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [*as_user, str(bin_folder / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"],
        check=True,
        capture_output=True,
    )
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*as_user, str(bin_folder / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log")]
    subprocess.run([*control, "start"], check=True, capture_output=True)
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
