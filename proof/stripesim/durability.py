"""`kill -9` under load: what was answered is there, and the simulator always starts again.

    python -m proof.stripesim.durability [--kills 50] [--seed 1] [--json FILE]

Each round several clients pay, are declined and pay back until the simulator is killed. After the
restart every answer of the round has to be found again: the same object by its id, the same bytes
under the same idempotency key. Requests that got no answer are sent again under their keys. Then
the books have to add up, and no order has more than one charge. Between kill and restart the
write-ahead log is sometimes damaged, as a write that the crash cut short would leave it; the shared
memory file is sometimes gone. Ends with 1 when anything is missing.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from proof.stripesim.books import find_contradictions, read_books
from stripesim.testing import SimulatorProcess

Json = dict[str, Any]
CLIENTS = 4
SHORTEST_LIFE, LONGEST_LIFE = 0.1, 0.8  # seconds of load before the kill
FEWEST_ANSWERS = 30  # before a kill, however slow the machine is
KEPT_TO_LOOK_AT = 200  # answers of earlier rounds that are looked at again, chosen at random
CARDS = (
    "pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired",
    "pm_card_createDispute", "pm_card_pendingRefund",
)  # fmt: skip
LEFTOVERS = ("as it is", "as it is", "half a frame at the end", "no shared memory")


@dataclass
class Exchange:
    """One request under a key of its own, and its answer when there was one."""

    path: str
    form: Json
    key: str
    status: int | None = None
    text: str = ""


@dataclass
class Tally:
    """What was seen, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Pays until its connection breaks."""

    def __init__(self, url: str, seed: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._dice = random.Random(seed)
        self._seed = seed
        self.exchanges: list[Exchange] = []

    def run(self) -> None:
        try:
            while True:
                self._one_order()
        except (OSError, http.client.HTTPException):
            return

    def _one_order(self) -> None:
        customer = self._send("/v1/customers", {"email": "ada@example.com"})
        form = {"amount": self._dice.randrange(100, 9999), "currency": "usd"}
        if self._dice.random() < 0.5:
            form["customer"] = customer["id"]
        order = {"metadata[order_id]": f"{self._seed}-{len(self.exchanges)}"}
        held = {"capture_method": "manual"} if self._dice.random() < 0.2 else {}
        intent = self._send("/v1/payment_intents", {**form, **order, **held})
        path = f"/v1/payment_intents/{intent['id']}"
        paid = self._send(f"{path}/confirm", {"payment_method": self._dice.choice(CARDS)})
        if paid.get("status") == "requires_capture":
            paid = self._send(f"{path}/capture", {})
        if paid.get("status") == "succeeded" and self._dice.random() < 0.5:
            self._send("/v1/refunds", {"payment_intent": intent["id"], "amount": 10})

    def _send(self, path: str, form: Json) -> Json:
        key = f"{self._seed}-{len(self.exchanges)}"
        exchange = Exchange(path, form, key)
        self.exchanges.append(exchange)
        exchange.status, exchange.text, _ = post(self._url, exchange)
        found: Json = json.loads(exchange.text)
        return found


def post(url: str, exchange: Exchange) -> tuple[int, str, bool]:
    """Status, text and whether it is a replay. Raises OSError or HTTPException without answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    headers = {
        "Authorization": "Bearer sk_test_durability",
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": exchange.key,
    }
    try:
        connection.request("POST", exchange.path, urlencode(exchange.form), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, text, answer.getheader("Idempotent-Replayed") == "true"
    finally:
        connection.close()


def one_round(
    simulator: SimulatorProcess, data: Path, number: int, seed: int, tally: Tally
) -> list[Exchange]:
    """Load, kill, perhaps damage, restart; every exchange with its answer, got now or before."""
    dice = random.Random(f"{seed}/{number}")
    clients = [Client(simulator.url, f"{seed}-{number}-{n}") for n in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(dice.uniform(SHORTEST_LIFE, LONGEST_LIFE))
    while sum(len(client.exchanges) for client in clients) < FEWEST_ANSWERS + CLIENTS:
        time.sleep(0.01)
    simulator.kill()
    for client in clients:
        client.join(20)
    leftover = dice.choice(LEFTOVERS)
    leave(data, leftover, dice)
    tally.counts[f"started again, the log {leftover}"] += 1
    simulator.start()
    tally.counts["kills"] += 1
    exchanges = [exchange for client in clients for exchange in client.exchanges]
    look_again(simulator.url, exchanges, tally)
    return exchanges


def leave(data: Path, leftover: str, dice: random.Random) -> None:
    """What the crash left of SQLite's two files beside the store."""
    if leftover == "half a frame at the end":
        with data.with_name(data.name + "-wal").open("ab") as log:
            log.write(dice.randbytes(dice.randrange(1, 4000)))
    elif leftover == "no shared memory":
        data.with_name(data.name + "-shm").unlink(missing_ok=True)


def look_again(url: str, exchanges: list[Exchange], tally: Tally) -> None:
    """The same bytes under the same key; what got no answer is sent again."""
    for exchange in exchanges:
        status, text, is_replay = post(url, exchange)
        if exchange.status is None:
            tally.counts["without an answer, and executed"] += is_replay
            tally.counts["without an answer, and not executed"] += not is_replay
            exchange.status, exchange.text = status, text
            continue
        tally.counts["answers replayed"] += 1
        if not is_replay or (status, text) != (exchange.status, exchange.text):
            tally.wrong.append(f"{exchange.path} {exchange.key} is answered {status} {text[:200]}")


def compare_books(data: Path, answered: list[Exchange], tally: Tally) -> None:
    """Every object that an answer named is in the store, and the books add up."""
    books = read_books(data)
    known = {object_id for found in books.objects.values() for object_id in found}
    for exchange in answered:
        if exchange.status == 400:  # refused by state (disputed), names no object
            continue
        body = json.loads(exchange.text)
        body = body if "id" in body else body["error"].get("payment_intent", {})
        tally.counts["objects found"] += 1
        if body.get("id") not in known:
            tally.wrong.append(f"{exchange.path} named {body.get('id')}, which is gone")
        if body.get("status") == "succeeded" and body["object"] == "payment_intent":
            intent = books.objects["payment_intent"].get(body["id"], {})
            if intent.get("status") != "succeeded":
                tally.wrong.append(f"{body['id']} was answered succeeded and is not")
    tally.wrong += find_contradictions(books)


def prove(kills: int, seed: int, data: Path) -> Tally:
    """`kills` rounds on one store."""
    tally, answered = Tally(), list[Exchange]()
    dice = random.Random(seed)
    with SimulatorProcess(data=data) as simulator:
        for number in range(kills):
            earlier = dice.sample(answered, min(KEPT_TO_LOOK_AT, len(answered)))
            answered += one_round(simulator, data, number, seed, tally)
            look_again(simulator.url, earlier, tally)
            compare_books(data, answered, tally)
            if tally.wrong:
                break
    tally.counts["requests"] = len(answered)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    flags = parser.parse_args()
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = prove(flags.kills, flags.seed, Path(folder) / "stripesim.db")
    figures: Json = {
        "seed": flags.seed,
        "seconds": round(time.monotonic() - started_at),
        **dict(sorted(tally.counts.items())),
        "lost": len(tally.wrong),
    }
    print(json.dumps(figures, indent=2))
    for text in tally.wrong[:20]:
        print(f"LOST: {text}")
    if flags.json and not tally.wrong:
        flags.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
