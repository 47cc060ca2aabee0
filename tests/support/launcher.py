"""Processes of our own commands that begin after their imports.

Each is a process like any other, with its own id, session, environment and end. Only the second in
which Python reads the same modules once more is left out: a helper that has read them, and done
nothing else, forks for each start.
"""

import atexit
import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

READY_SECONDS = 60.0
COMMANDS = {"paidonce": "paidonce.cli", "stripesim": "stripesim.cli"}
READ_LATER = (
    "uvloop", "uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl", "typer.rich_utils",
)  # fmt: skip
"""What a command imports once it runs."""


class LauncherFailed(Exception):
    """The helper did not start, or has ended."""


class Launched:
    """A process that the helper has started; `poll` and `wait` as those of `subprocess.Popen`."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self._connection = connection
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def _look(self, seconds: float) -> int | None:
        if self._code is None and select.select([self._connection], [], [], seconds)[0]:
            self._code = int(_read_line(self._connection)["code"])
            self._connection.close()
        return self._code


class Launcher:
    """The helper; it ends with the process that started it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="paidonce-launcher-")
        self._address = str(Path(self._folder.name) / "socket")
        self._process = subprocess.Popen(
            [sys.executable, "-u", __file__, self._address],
            stdin=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the tests, which end what they have started
        )
        ends_at = time.monotonic() + READY_SECONDS
        while not os.path.exists(self._address):
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise LauncherFailed
            time.sleep(0.01)

    @staticmethod
    def can_start(command: Sequence[str]) -> bool:
        """Whether it is a command of this checkout."""
        path = Path(command[0])
        return path.parent == Path(sys.executable).parent and path.name in COMMANDS

    def start(
        self, command: Sequence[str], *, stdout: Path, stderr: Path, folder: Path,
        environment: Mapping[str, str],
    ) -> Launched:  # fmt: skip
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        wanted = {
            "argv": list(command), "stdout": str(stdout), "stderr": str(stderr),
            "folder": str(folder), "environment": dict(environment),
        }  # fmt: skip
        connection.sendall(json.dumps(wanted).encode() + b"\n")
        return Launched(connection, int(_read_line(connection)["pid"]))

    def run(
        self, *command: str, environment: Mapping[str, str], timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Its output and exit code at its end. Raises subprocess.TimeoutExpired."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            stdout, stderr = folder / "stdout", folder / "stderr"
            process = self.start(
                command, stdout=stdout, stderr=stderr, folder=folder, environment=environment
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(
                command, code, stdout.read_text(), stderr.read_text()
            )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._folder.cleanup()


@functools.cache
def shared_launcher() -> Launcher:
    """One for everything that this Python runs; made when it is first wanted."""
    launcher = Launcher()
    atexit.register(launcher.close)
    return launcher


def _read_line(connection: socket.socket) -> dict[str, Any]:
    received = b""
    while not received.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk:
            raise LauncherFailed
        received += chunk
    line: dict[str, Any] = json.loads(received)
    return line


# --- the helper ----------------------------------------------------------------------------------


def _serve(address: str) -> None:
    """Returns in a started process alone; the helper itself ends when its stdin does."""
    for module in (*COMMANDS.values(), *READ_LATER):
        __import__(module)
    gc.freeze()  # what is shared stays as it is
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen(64)
        os.rename(f"{address}.new", address)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _watch(connection)
                    return
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    sys.exit(0)


def _watch(connection: socket.socket) -> None:
    """Start the wanted process, and say what became of it; returns in the started one."""
    wanted = _read_line(connection)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(wanted)
        return
    try:
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(json.dumps({"code": code}).encode() + b"\n")
    finally:
        os._exit(0)


def _become(wanted: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(wanted["folder"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, wanted["stdout"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        (2, wanted["stderr"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv[:] = wanted["argv"]


if __name__ == "__main__":
    _serve(sys.argv[1])
    sys.path[0] = str(Path(sys.argv[0]).parent)
    sys.modules[COMMANDS[Path(sys.argv[0]).name]].main()
