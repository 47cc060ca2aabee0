"""Real processes for tests: started, waited for, killed without warning, always cleaned up.

`start_process(command)` gives a `Process`; its output goes to files, so that a full pipe never
stops it and a test can read it at any time. Everything started is ended with its test, by its
own process id.
"""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support.launcher import Launched, Launcher, shared_launcher

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 30.0
FIRST_PORT = 10_000
PORT_RANGES = 11
PORTS_PER_WORKER = 2_000
_ports = itertools.count(os.getpid())  # where two test runs at once hardly meet


class ProcessFailed(AssertionError):
    """A process ended or stayed silent when it should not have; carries the end of its output."""


def free_port() -> int:
    """A TCP port on loopback that is free, and stays so until the caller's process listens on it.

    The system hands out ports from 32768 to whoever asks for any, so that one would soon be
    somebody else's. Below, each worker of pytest-xdist walks through ports of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + worker % PORT_RANGES * PORTS_PER_WORKER
    while True:
        port = first + next(_ports) % PORTS_PER_WORKER
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def script(name: str) -> str:
    """The path of a command installed beside the running Python (`paidonce`, `stripesim`)."""
    return str(Path(sys.executable).parent / name)


class Process:
    """One command, which can be started again after it ended: same arguments, same output files."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_folder: Path,
        environment: Mapping[str, str],
        launcher: Launcher | None = None,
    ) -> None:
        """`environment` is added to a small clean one; the caller's own variables are not seen.
        `launcher`: who starts it, where that is not a new Python."""
        self._launcher = launcher
        self.command = list(command)
        self.stdout_path = log_folder / "stdout"
        self.stderr_path = log_folder / "stderr"
        self._folder = log_folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self._environment = {**kept, "PYTHONUNBUFFERED": "1", **environment}
        self._process: subprocess.Popen[bytes] | Launched | None = None
        self.start()

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, in a session of its own; its output is appended."""
        assert not self.is_running()
        self._stdout_start = self._size(self.stdout_path)
        if self._launcher is not None:
            self.stdout_path.touch()
            self.stderr_path.touch()
            self._process = self._launcher.start(
                self.command, stdout=self.stdout_path, stderr=self.stderr_path,
                folder=self._folder, environment=self._environment,
            )  # fmt: skip
            return
        with self.stdout_path.open("ab") as out, self.stderr_path.open("ab") as err:
            self._process = subprocess.Popen(
                self.command, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                cwd=self._folder, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill9(self) -> None:
        """End it as a power cut would: no handler runs. Its own children are ended as well."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def terminate(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """Ask it to end (SIGTERM) and wait; returns its exit code, raises when it does not end."""
        if self.is_running():
            self.send_signal(signal.SIGTERM)
        return self.wait(timeout_seconds)

    def wait(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """Its exit code, once it ended by itself."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise self._failed(f"still running after {timeout_seconds} s") from None

    def restart(self) -> None:
        """Start it again with the same command; it is killed first when it still runs."""
        if self.is_running():
            self.kill9()
        self.start()

    def clean_up(self) -> None:
        """End it and what it started, whatever state it is in."""
        self.kill9()

    # --- output ----------------------------------------------------------------------------------

    def stdout(self) -> str:
        """Everything written to stdout, over all starts."""
        return self.stdout_path.read_text(errors="replace")

    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    # --- waiting ---------------------------------------------------------------------------------

    def wait_until(
        self,
        condition: Callable[[], bool],
        what: str,
        timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        """Wait for `condition`; raises ProcessFailed when time is over or the process ended."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if not self.is_running():
                raise self._failed(f"ended while a test waited for {what}")
            if time.monotonic() > deadline:
                raise self._failed(f"{timeout_seconds} s passed without {what}")
            time.sleep(0.02)

    def wait_for_line(
        self, pattern: str, timeout_seconds: float = START_TIMEOUT_SECONDS
    ) -> re.Match[str]:
        """The match of `pattern` in a whole stdout line written since the last start."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            text = self.stdout_path.read_bytes()[self._stdout_start :].decode(errors="replace")
            matches = (re.search(pattern, line) for line in text.split("\n")[:-1])
            found.extend(match for match in matches if match)
            return bool(found)

        self.wait_until(look, f"a line like {pattern!r}", timeout_seconds)
        return found[0]

    def wait_for_http(
        self, url: str, status: int = 200, timeout_seconds: float = START_TIMEOUT_SECONDS
    ) -> None:
        """Wait until GET `url` answers `status`."""
        self.wait_until(
            lambda: http_status(url) == status, f"{status} from GET {url}", timeout_seconds
        )

    def _failed(self, why: str) -> ProcessFailed:
        name = Path(self.command[0]).name
        ends = (f"{label}: …{text()[-2000:]}" for label, text in self._outputs())
        return ProcessFailed("\n".join([f"{name} ({self.pid}) {why}", *ends]))

    def _outputs(self) -> list[tuple[str, Callable[[], str]]]:
        return [("stdout", self.stdout), ("stderr", self.stderr)]

    @staticmethod
    def _size(path: Path) -> int:
        return path.stat().st_size if path.exists() else 0


def http_status(url: str) -> int | None:
    """The status of GET `url`, None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def run_with_all_it_starts(
    command: Sequence[str], *, cwd: Path, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """A command that starts processes of its own; when it does not end, all of them are killed."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


StartProcess = Callable[..., Process]


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """`start_process(*command, environment={…})` -> Process, ended with the test.

    It runs in a folder of its own below the test's, which also holds its output.
    """
    started: list[Process] = []

    def start(*command: str, environment: Mapping[str, str] | None = None) -> Process:
        folder = tmp_path / f"process-{len(started) + 1}"
        folder.mkdir()
        process = Process(
            command,
            log_folder=folder,
            environment=environment or {},
            launcher=shared_launcher() if Launcher.can_start(command) else None,
        )
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        process.clean_up()
