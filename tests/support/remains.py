"""What outlives a request: log, traces, metrics, database pages; and a search in it for what must
not be there, however it is spelled. Nothing here is the service's own code."""

import asyncio
import base64
import contextlib
import io
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from paidonce.observability import use_tracer
from paidonce.observability.logs import configure_logging

SHORTEST_PIECE = 12
"""So much of a secret is a leak of it."""


# --- what is written -----------------------------------------------------------------------------


class Heard:
    """Every line of every logger from DEBUG on, as it is written, and every span."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.spans = InMemorySpanExporter()

    @property
    def log(self) -> str:
        return self.stream.getvalue()

    @property
    def traces(self) -> str:
        return json.dumps([span.to_json() for span in self.spans.get_finished_spans()])


@contextmanager
def listening() -> Iterator[Heard]:
    """The settings of `logging` and structlog before come back."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    heard = Heard()
    configure_logging(level="DEBUG", stream=heard.stream)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(heard.spans))
    use_tracer(provider.get_tracer("test"))
    own_client = logging.getLogger("urllib3")
    own_client.setLevel(logging.WARNING)
    try:
        yield heard
    finally:
        use_tracer(None)
        own_client.setLevel(logging.NOTSET)
        structlog.configure(**config)
        root.handlers[:] = handlers
        root.setLevel(level)


# --- what is stored ------------------------------------------------------------------------------


class Pages:
    """A database as it lies on the disk, and as its tables read. Of PostgreSQL's write-ahead log
    what was written since this was made."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._since = "" if url.startswith("sqlite") else asyncio.run(self._ask(_WAL_FILE))

    def read(self) -> dict[str, bytes]:
        """Name of the place -> its bytes: freed pages and the write-ahead log among them."""
        if self._url.startswith("sqlite"):
            return dict(self._sqlite())
        return dict(self._postgresql())

    def _sqlite(self) -> Iterator[tuple[str, bytes]]:
        path = Path(self._url.removeprefix("sqlite:///"))
        for file in sorted(path.parent.glob(f"{path.name}*")):
            yield file.name, file.read_bytes()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in names.fetchall():
                rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
                yield f"table {name}", str(rows).encode()

    def _postgresql(self) -> Iterator[tuple[str, bytes]]:
        asyncio.run(self._ask("CHECKPOINT"))
        folder = Path(asyncio.run(self._ask("SHOW data_directory")))
        oid = asyncio.run(
            self._ask("SELECT oid FROM pg_database WHERE datname = current_database()")
        )
        for file in (folder / "base" / oid).iterdir():
            yield f"page {file.name}", file.read_bytes()
        for file in (folder / "pg_wal").iterdir():
            if file.is_file() and file.name >= self._since:
                yield f"wal {file.name}", file.read_bytes()
        yield "log of PostgreSQL", (folder.parent / "log").read_bytes()
        yield from asyncio.run(self._tables())

    async def _ask(self, statement: str) -> str:
        connection = await asyncpg.connect(self._url)
        try:
            return str(await connection.fetchval(statement))
        finally:
            await connection.close()

    async def _tables(self) -> list[tuple[str, bytes]]:
        connection = await asyncpg.connect(self._url)
        try:
            names = await connection.fetch(
                "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
            return [
                (
                    f"table {each['name']}",
                    str(await connection.fetch(_AS_TEXT % each["name"])).encode(),
                )
                for each in names
            ]
        finally:
            await connection.close()


_WAL_FILE = "SELECT pg_walfile_name(pg_current_wal_lsn())"
_AS_TEXT = "SELECT t::text FROM %s t"


# --- the search ----------------------------------------------------------------------------------


def find(secrets: dict[str, str], places: dict[str, Any]) -> list[str]:
    """Where which of them stands, in which spelling: whole, or a piece of it."""
    as_bytes = {
        place: held if isinstance(held, bytes) else str(held).encode()
        for place, held in places.items()
    }
    return [
        f"{name} ({spelling}) stands in {place}"
        for name, secret in secrets.items()
        for spelling, pattern in spellings(secret).items()
        for place, held in as_bytes.items()
        if pattern in held
    ]


def spellings(secret: str) -> dict[str, bytes]:
    """The first of a secret is enough to know it again."""
    piece = secret[:SHORTEST_PIECE].encode()
    found = {
        "as it is": piece,
        "in hex": piece.hex().encode(),
        "in HEX": piece.hex().upper().encode(),
    }
    found["percent-encoded"] = b"".join(b"%%%02X" % byte for byte in piece)
    found["JSON's escapes"] = b"".join(b"\\u%04x" % byte for byte in piece)
    if quote(piece).encode() != piece:
        found["quoted"] = quote(piece).encode()
    for shift in range(3):  # where it begins among what is encoded with it
        encoded = base64.b64encode(b"x" * shift + piece).rstrip(b"=")
        found[f"in base64, {shift}"] = encoded[(0, 2, 3)[shift] : len(encoded) - 1]
    return found


def find_digits(number: str, places: dict[str, Any]) -> list[str]:
    """The same for a card number, whatever stands between its digits."""
    loose = re.compile(rb"[^0-9a-zA-Z]{0,9}".join(b"%c" % ord(digit) for digit in number))
    wide = "".join(chr(0xFF10 + int(digit)) for digit in number)
    found = []
    for place, held in places.items():
        raw = held if isinstance(held, bytes) else str(held).encode()
        if loose.search(raw) or wide.encode() in raw or json.dumps(wide)[1:-1].encode() in raw:
            found.append(f"{number} stands in {place}")
    return found + find({number: number, f"the end of {number}": number[-SHORTEST_PIECE:]}, places)
