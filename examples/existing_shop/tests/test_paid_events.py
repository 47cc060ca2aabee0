"""The shop believes what paidonce has signed just now, and packs an order once."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI
from standardwebhooks import Webhook

SHOP = Path(__file__).parents[1]
PAID = {"id": "e1", "type": "order.paid", "data": {"orderId": "o1"}}


class Paidonce:
    """Tells the shop of events, as paidonce does."""

    def __init__(self, shop: str, secret: str) -> None:
        self.url = f"{shop}/paidonce-events"
        self.hook = Webhook(secret)

    def tell(self, event: dict[str, Any], body: bytes | None = None, age_seconds: int = 0) -> int:
        """`body` is what arrives instead of what was signed."""
        signed, sent_at = json.dumps(event), int(time.time()) - age_seconds
        at = datetime.fromtimestamp(sent_at, UTC)
        headers = {
            "webhook-id": event["id"],
            "webhook-timestamp": str(sent_at),
            "webhook-signature": self.hook.sign(event["id"], at, signed),
        }
        data = signed.encode() if body is None else body
        return requests.post(self.url, data=data, headers=headers, timeout=10).status_code


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "shop.db")


@pytest.fixture
def paidonce(
    database: str, event_secret: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Paidonce]:
    """The shop has only its door for events here."""
    monkeypatch.syspath_prepend(SHOP)
    from paid_events import build_event_router, make_event_tables

    make_event_tables(database)
    app = FastAPI()
    app.include_router(build_event_router(database, event_secret))
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Paidonce(f"http://127.0.0.1:{port}", event_secret)
    server.should_exit = True
    thread.join()


def parcels(database: str) -> dict[str, str]:
    with closing(sqlite3.connect(database)) as db:
        return dict(db.execute("SELECT order_id, state FROM parcels").fetchall())


def test_an_event_that_comes_twice_packs_once(paidonce: Paidonce, database: str) -> None:
    refunded = {"id": "e2", "type": "order.refunded", "data": {"orderId": "o1"}}
    assert [paidonce.tell(each) for each in (PAID, PAID)] == [204, 204]
    assert parcels(database) == {"o1": "to pack"}
    assert [paidonce.tell(each) for each in (refunded, PAID)] == [204, 204]
    assert parcels(database) == {"o1": "on hold"}


def test_a_type_of_event_that_the_shop_does_not_know_is_taken(paidonce: Paidonce) -> None:
    assert paidonce.tell({**PAID, "id": "e3", "type": "order.repainted"}) == 204


def test_what_paidonce_has_not_signed_just_now_packs_nothing(
    paidonce: Paidonce, database: str
) -> None:
    another = json.dumps(PAID).replace("o1", "o2").encode()
    assert paidonce.tell(PAID, body=another) == 400
    assert paidonce.tell(PAID, age_seconds=3600) == 400
    assert requests.post(paidonce.url, json=PAID, timeout=10).status_code == 400
    assert parcels(database) == {}
