"""The request log, and the answers saved under idempotency keys."""

import json
from dataclasses import dataclass
from typing import Any

from stripesim.store.database import Database

Json = dict[str, Any]
LOG_COLUMNS = (
    "seq",
    "request_id",
    "method",
    "path",
    "params",
    "idempotency_key",
    "status",
    "error_code",
    "replayed",
    "fault",
    "at",
)


@dataclass(frozen=True)
class SavedAnswer:
    """What the first request under a key was and was answered."""

    method: str
    path: str
    fingerprint: str
    request_id: str
    status: int
    body: str


class Journal:
    """Append-only log of API requests; saved answers by key, for 24 h of simulator time."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def log_request(
        self,
        *,
        at: float,
        request_id: str,
        method: str,
        path: str,
        params: Json,
        idempotency_key: str | None,
        status: int | None,
        error_code: str | None,
        replayed: bool,
        fault: str | None,
    ) -> None:
        """`status` is None when the connection was cut before executing."""
        self._db.execute(
            "INSERT INTO requests (request_id, at, method, path, params, idempotency_key, status,"
            " error_code, replayed, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            request_id,
            at,
            method,
            path,
            json.dumps(params),
            idempotency_key,
            status,
            error_code,
            int(replayed),
            fault,
        )

    def list_requests(self, after: int, limit: int | None = None) -> list[Json]:
        """In their order, those behind `after`; the first `limit` of them, all without one."""
        return self._read("seq > ? ORDER BY seq LIMIT ?", after, -1 if limit is None else limit)

    def last_requests(self, limit: int) -> list[Json]:
        """The newest, in their order."""
        return self._read("TRUE ORDER BY seq DESC LIMIT ?", limit)[::-1]

    def get_request(self, seq: int) -> Json | None:
        found = self._read("seq = ?", seq)
        return found[0] if found else None

    def last_seq(self) -> int:
        found = self._db.row("SELECT max(seq) FROM requests")
        return int(found[0] or 0) if found else 0

    def _read(self, condition: str, *values: Any) -> list[Json]:
        rows = self._db.rows(
            f"SELECT {', '.join(LOG_COLUMNS)} FROM requests WHERE {condition}", *values
        )
        found = [dict(zip(LOG_COLUMNS, row, strict=True)) for row in rows]
        for entry in found:
            entry["params"] = json.loads(entry["params"])
            entry["replayed"] = bool(entry["replayed"])
        return found

    def saved_answer(self, key: str, not_before: float) -> SavedAnswer | None:
        """The answer under a key, unless it is older than `not_before`: then it is forgotten."""
        found = self._db.row(
            "SELECT created, method, path, fingerprint, request_id, status, body FROM idempotency"
            " WHERE key = ?",
            key,
        )
        if found is None:
            return None
        if found[0] <= not_before:
            self._db.execute("DELETE FROM idempotency WHERE key = ?", key)
            return None
        return SavedAnswer(*found[1:])

    def save_answer(self, key: str, at: float, answer: SavedAnswer) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO idempotency (key, created, method, path, fingerprint,"
            " request_id, status, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            key,
            at,
            answer.method,
            answer.path,
            answer.fingerprint,
            answer.request_id,
            answer.status,
            answer.body,
        )
