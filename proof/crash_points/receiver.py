"""The merchant's server that is told of events, in a process of its own: it outlives the service.

It writes down what it was told and answers 204; at the first time of each event it answers 500. It
ends with whoever started it.
"""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from paidonce.endpoints import new_secret

NAME = "told.jsonl"
Json = dict[str, Any]


class Receiver:
    """Started by a stage, once; what it was told is kept in a file of the stage's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proof.crash_points.receiver", str(self._path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.settings = {
            "event_endpoints": f"http://127.0.0.1:{int(self._process.stdout.readline())}/",
            "event_secrets": new_secret(),
            "event_allow_loopback": True,
        }

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    def read(self) -> list[Json]:
        """Every request that came, in order: id, type, orderId and whether it was taken."""
        return _read(self._path)


def _read(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def serve(path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            is_taken = event["id"] in {told["id"] for told in _read(path)}
            told = {"id": event["id"], "type": event["type"], "is_taken": is_taken}
            with path.open("a") as file:
                file.write(json.dumps({**told, "order_id": event["data"]["orderId"]}) + "\n")
            self.send_response(204 if is_taken else 500)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Nothing: the file says it."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
