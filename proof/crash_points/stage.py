"""What one worker has for its runs: a Stripe, a database that is new for every run, a clock, and
the application, built once and forked."""

import asyncio
import contextlib
import gc
import http.client
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import asyncpg
import jwt
from fastapi import FastAPI

from paidonce.main import build_app
from paidonce.settings import Settings
from paidonce.store import migrations
from proof.auditor import Books, books_of_postgresql, read_books
from proof.crash_points.life import SharedClock, warm_up
from proof.crash_points.receiver import Receiver
from stripesim.testing import PUBLISHABLE_KEY, SECRET_KEY, ControlClient, ControlError

Json = dict[str, Any]
JWT_SECRET = "a-secret-of-the-proof-with-32-bytes"
MERCHANT_API_KEY = "merchant-key-of-the-proof"
WEBHOOK_SECRET = "whsec_of_the_proof"
IDLE_SECONDS = 2.0
KEPT = ("alembic_version", "products")
AS_JSON = {"Content-Type": "application/json"}
WARM = "00000000-0000-4000-8000-000000000000"
PRICE_MINOR = 22_000
PRODUCT = {"productId": "tea", "name": "Tea", "amountMinor": PRICE_MINOR, "currency": "usd"}


class Http:
    """One connection that is kept open. What it raises when it is cut: OSError, HTTPException.

    A server may close one that was idle, so after a while a new one is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)
        self._used_at = 0.0

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, bytes]:
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            self._connection.close()
        self._connection.request(method, path, body, dict(headers))
        answer = self._connection.getresponse()
        text = answer.read()
        self._used_at = time.monotonic()
        return answer.status, text

    def close(self) -> None:
        self._connection.close()


class Simulator(ControlClient):
    """The simulator's control plane and its API, over one connection."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        address = urlsplit(url)
        self._http = Http(address.hostname or "", address.port or 0)

    def get(self, path: str) -> Json:
        """A path as JSON, with the secret key."""
        return self._send("GET", path, b"", {"Authorization": f"Bearer {SECRET_KEY}"})

    def post(self, path: str, form: str, key: str = SECRET_KEY) -> Json:
        """A call of Stripe's API by somebody else than the service."""
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self._send("POST", path, form.encode(), headers)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Json:
        status, text = self._http.send(method, path, None if method == "GET" else body, headers)
        if status >= 400:
            raise ControlError(f"{method} {path}: {status} {text.decode()}")
        found: Json = json.loads(text)
        return found


class Store(Protocol):
    """A database that can be made new."""

    url: str

    def make_new(self) -> None:
        """The price list is there, and no orders."""

    def keep_as_new(self) -> None:
        """What is in it now is how it is to be, once and for all."""

    def forget_installation(self) -> None:
        """As before the first start: without a schema, where the service makes it by itself."""

    def back_up(self) -> None:
        """A copy of everything; nobody has the database open. The next one takes its place."""

    def put_back(self) -> None:
        """The copy is the database again."""

    def change(self, sql: str) -> None:
        """What the service would not do by itself; `{}` before a table's name."""

    def read(self) -> Books:
        """All that is in it, for the auditor."""


class SqliteStore:
    """A file, copied from a template."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "paidonce.db"
        self._template = folder / "template.db"
        self._backup = folder / "backup.db"
        self.url = f"sqlite:///{self._path}"
        migrations.upgrade(self.url)

    def keep_as_new(self) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(self._path, self._template)

    def make_new(self) -> None:
        self.forget_installation()
        shutil.copyfile(self._template, self._path)

    def forget_installation(self) -> None:
        for end in ("", "-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)

    def back_up(self) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(self._path, self._backup)

    def put_back(self) -> None:
        self.forget_installation()
        shutil.copyfile(self._backup, self._path)

    def change(self, sql: str) -> None:
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            connection.execute(sql.format("paidonce_"))

    def read(self) -> Books:
        return read_books(self.url)


class PostgresqlStore:
    """A database of its own, emptied."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._loop = asyncio.new_event_loop()
        migrations.upgrade(url)
        self._connection = self._loop.run_until_complete(asyncpg.connect(url))
        rows = self._run("SELECT tablename FROM pg_tables WHERE schemaname = 'paidonce'")
        self._emptied = [row["tablename"] for row in rows if row["tablename"] not in KEPT]
        self._empty = "SET session_replication_role = replica;" + "".join(
            f"DELETE FROM paidonce.{name};" for name in self._emptied
        )

    def keep_as_new(self) -> None:
        """The tables in KEPT are never emptied."""

    def make_new(self) -> None:
        self._script(self._empty)

    def forget_installation(self) -> None:
        self._run("DELETE FROM paidonce.installation")

    def back_up(self) -> None:
        copied = "".join(
            f"CREATE TABLE backup.{name} AS SELECT * FROM paidonce.{name};"
            for name in self._emptied
        )
        self._script(f"DROP SCHEMA IF EXISTS backup CASCADE; CREATE SCHEMA backup; {copied}")

    def put_back(self) -> None:
        filled = "".join(
            f"INSERT INTO paidonce.{name} SELECT * FROM backup.{name};" for name in self._emptied
        )
        self._script(self._empty + filled)

    def change(self, sql: str) -> None:
        self._script(sql.format("paidonce."))

    def read(self) -> Books:
        return self._loop.run_until_complete(books_of_postgresql(self._connection))

    def _script(self, sql: str) -> None:
        self._loop.run_until_complete(self._connection.execute(sql))

    def _run(self, sql: str) -> Any:
        return self._loop.run_until_complete(self._connection.fetch(sql))


class Stage:
    """Everything that a run needs and that the next run may use again."""

    def __init__(self, store: Store, simulator_url: str, stands_at: int, folder: Path) -> None:
        """`stands_at`: the second at which the simulator's clock stands when it is new."""
        self.store = store
        self.simulator = Simulator(simulator_url)
        self.clock = SharedClock(stands_at)
        self.log = folder / "service.log"
        self.receiver = Receiver(folder)
        self.app_for = lru_cache(maxsize=None)(self._build_app)
        warm_up(self.app_for(()), self._fill)
        gc.collect()
        gc.freeze()

    def make_new(self) -> None:
        self.store.make_new()
        self.simulator.reset()
        self.clock.added = 0.0
        self.receiver.forget()
        self.log.unlink(missing_ok=True)

    def read_sends(self) -> dict[str, int]:
        """How often each attempt was sent, by our books."""
        rows = self.store.read().tables["payment_attempts"]
        return {row["id"]: row["sends"] for row in rows}

    def settings(self, changes: tuple[tuple[str, Any], ...]) -> Settings:
        values: dict[str, Any] = {
            "database_url": self.store.url,
            "stripe_secret_key": SECRET_KEY,
            "stripe_publishable_key": PUBLISHABLE_KEY,
            "stripe_webhook_secret": WEBHOOK_SECRET,
            "stripe_api_base": self.simulator.url,
            "payment_return_url": "https://shop.example/return",
            "auth_jwt_secret": JWT_SECRET,
            "merchant_api_key": MERCHANT_API_KEY,
            "same_order_within_seconds": 0,
        }
        changed = dict(changes)
        if changed.pop("tells_events", False):
            values |= self.receiver.settings
        return Settings(**values | changed)

    def _build_app(self, changes: tuple[tuple[str, Any], ...]) -> FastAPI:
        return build_app(self.settings(changes), clock=self.clock, has_worker=False)

    def _fill(self, port: int) -> None:
        """The price list; and whatever a payment loads at first use."""
        http = Http("127.0.0.1", port)
        merchant = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}
        body = json.dumps({"products": [PRODUCT]}).encode()
        status, text = http.send("PUT", "/api/products", body, merchant | AS_JSON)
        if status != 200:
            raise RuntimeError(f"the price list was not taken: {text.decode()}")
        self.store.keep_as_new()
        order = {"userId": "u", "orderId": WARM, "amountMinor": 100, "currency": "usd"}
        http.send("POST", "/api/orders", json.dumps(order).encode(), merchant | AS_JSON)
        http.send("POST", "/_drive/drain")
        token = jwt.encode({"sub": "u", "exp": int(time.time()) + 60}, JWT_SECRET)
        app = {"Authorization": f"Bearer {token}"}
        pay = json.dumps({"paymentToken": self.simulator.create_card()}).encode()
        http.send("POST", f"/api/mobile-app/orders/{WARM}/pay", pay, app | AS_JSON)
        http.send("POST", "/_drive/work")
        http.send("POST", "/api/webhooks/stripe", b"{}", AS_JSON)
        http.close()


@contextlib.contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is enough of it. What a killed process wrote is there still;
    only a power cut would take it, and no process here is one."""
    memory = Path("/dev/shm")
    is_usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    with tempfile.TemporaryDirectory(dir=memory if is_usable else None) as folder:
        yield Path(folder)
